// Command-line options that say how a vendor file is to be opened; the same for `ingest` and
// `info`.

#ifndef PENSTOCK_TOOLS_SOURCE_OPTIONS_H_
#define PENSTOCK_TOOLS_SOURCE_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "penstock/ingest/frame_source.h"

namespace penstock::tools {

// The options as they were given.
struct SourceArguments {
  std::string format;
  std::string signal_shape;
  std::string element_type;
  std::string offset = "0";
  std::string frame_header = "0";
  std::string frame_footer = "0";
  bool big_endian = false;
  bool this_file_only = false;
  bool rescue = false;
  std::string dataset_path;
  bool subtract_dark = false;
  std::string gain_file;
};

// Those that say what the bytes are. `arguments` must live until the command has run.
void AddFileOptions(CLI::App& command, SourceArguments& arguments);
// These, and the corrections that come with some formats.
void AddSourceOptions(CLI::App& command, SourceArguments& arguments);

Result<ingest::OpenOptions> ToOpenOptions(const SourceArguments& arguments);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_SOURCE_OPTIONS_H_
