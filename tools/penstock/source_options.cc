#include "tools/penstock/source_options.h"

#include "tools/penstock/quantities.h"

namespace penstock::tools {

void AddFileOptions(CLI::App& command, SourceArguments& arguments) {
  command.add_option("--format", arguments.format,
                     "format of the source; default: by the content of the file");
  command.add_option("--sig-shape", arguments.signal_shape,
                     "raw: rows,columns of a frame, in pixels");
  command.add_option("--dtype", arguments.element_type,
                     "raw: type of a pixel, such as uint16 or '>u2' (big-endian)");
  command.add_flag("--big-endian", arguments.big_endian, "raw: most significant byte first");
  command.add_option("--offset", arguments.offset, "raw: bytes before the first frame");
  command.add_option("--frame-header", arguments.frame_header, "raw: bytes before each frame");
  command.add_option("--frame-footer", arguments.frame_footer, "raw: bytes after each frame");
  command.add_option("--dataset-path", arguments.dataset_path,
                     "formats that hold several datasets: which one");
  command.add_flag("--this-file-only", arguments.this_file_only,
                   "do not collect the other files of a series");
  command.add_flag("--rescue", arguments.rescue,
                   "go on without a part of the detector whose data is missing (K2 IS: a sector); "
                   "its pixels end in the pixel mask");
}

void AddSourceOptions(CLI::App& command, SourceArguments& arguments) {
  AddFileOptions(command, arguments);
  command.add_flag("--subtract-dark", arguments.subtract_dark,
                   "frms6, seq: subtract the dark reference of the acquisition; makes float32");
  command.add_option("--gain", arguments.gain_file,
                     "frms6, seq: multiply with the gain reference in this file; makes float32");
}

Result<ingest::OpenOptions> ToOpenOptions(const SourceArguments& arguments) {
  ingest::OpenOptions options;
  if (!arguments.signal_shape.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto shape, ParsePair(arguments.signal_shape));
    options.signal_shape = {shape.first, shape.second};
  }
  options.big_endian = arguments.big_endian;
  if (!arguments.element_type.empty()) {
    std::string text = arguments.element_type;
    if (text.front() == '>') {
      options.big_endian = true;
      text.front() = '<';  // without the mark, u8 would be a number of bits
    }
    PENSTOCK_ASSIGN_OR_RETURN(options.element_type, ParseElementType(text));
  }
  PENSTOCK_ASSIGN_OR_RETURN(options.file_header_bytes, ParseBytes(arguments.offset));
  PENSTOCK_ASSIGN_OR_RETURN(options.frame_header_bytes, ParseBytes(arguments.frame_header));
  PENSTOCK_ASSIGN_OR_RETURN(options.frame_footer_bytes, ParseBytes(arguments.frame_footer));
  options.this_file_only = arguments.this_file_only;
  options.dataset_path = arguments.dataset_path;
  options.rescue = arguments.rescue;
  options.subtract_dark = arguments.subtract_dark;
  options.gain_file = arguments.gain_file;
  return options;
}

}  // namespace penstock::tools
