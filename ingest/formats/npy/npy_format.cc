#include "ingest/formats/npy/npy_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ingest/formats/raw/record_source.h"
#include "penstock/base/npy.h"

namespace penstock::ingest {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

std::string ShapeText(const NpyHeader& header) {
  return fmt::format("({})", fmt::join(header.shape, ", "));
}

// The last two axes are the detector's, those before it the scan's.
Status CheckAxes(const std::filesystem::path& path, const NpyHeader& header,
                 const OpenOptions& options) {
  if (header.shape.size() < 2 || header.shape.size() > 4) {
    return Error::Unsupported("not an array of detector frames")
        .In(path.string())
        .Expected("two to four axes, the last two being the frame's rows and columns")
        .Found("shape " + ShapeText(header));
  }
  if (std::find(header.shape.begin(), header.shape.end(), 0) != header.shape.end()) {
    return Error::Corrupt("the array is empty")
        .In(path.string())
        .Expected("axes of at least one element")
        .Found("shape " + ShapeText(header));
  }
  if (header.fortran_order) {
    return Error::Unsupported("the array is in Fortran order: its frames are not contiguous")
        .In(path.string())
        .Expected("fortran_order False")
        .Found("fortran_order True")
        .Advice("store it anew with numpy.save(FILE, numpy.ascontiguousarray(ARRAY))");
  }
  const SignalShape signal{header.shape.end()[-2], header.shape.end()[-1]};
  if (options.signal_shape && *options.signal_shape != signal) {
    return Error::Contradiction("--sig-shape is not the shape in the file")
        .In(path.string())
        .Expected(fmt::format("{},{}", options.signal_shape->rows, options.signal_shape->columns))
        .Found("shape " + ShapeText(header))
        .Advice("leave --sig-shape out");
  }
  if (options.element_type && *options.element_type != header.element_type) {
    return Error::Contradiction("--dtype is not the type in the file")
        .In(path.string())
        .Expected(std::string(ZarrDataType(*options.element_type)))
        .Found(std::string(ZarrDataType(header.element_type)))
        .Advice("leave --dtype out");
  }
  return Status::Ok();
}

class Npy final : public SourceFormat {
 public:
  std::string_view name() const override { return "npy"; }
  std::string_view description() const override { return "NumPy array file"; }

  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> head) const override {
    const std::span<const std::byte> magic = AsBytes(kMagic);
    if (head.size() < magic.size() || !std::equal(magic.begin(), magic.end(), head.begin())) {
      return {};
    }
    return {Confidence::kYes, R"(starts with "\x93NUMPY")"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(path));
    PENSTOCK_ASSIGN_OR_RETURN(const NpyHeader header, ReadNpyHeader(path));
    PENSTOCK_RETURN_IF_ERROR(CheckAxes(path, header, options));

    SourceDescription source;
    source.format = "npy";
    source.suggested_name = path.stem().string();
    source.files = {{path, "frames", "application/x-npy", file.identity}};
    source.signal = {header.shape.end()[-2], header.shape.end()[-1]};
    source.element_type = header.element_type;
    if (header.shape.size() == 4) {
      source.scan_shapes.push_back(
          {{header.shape[0], header.shape[1], false},
           fmt::format("{}: NPY header, shape {}", path.filename().string(), ShapeText(header)),
           0});
    }

    RecordLayout layout;
    layout.file_header_bytes = header.data_offset;
    layout.frame_bytes =
        static_cast<uint64_t>(source.signal.pixel_count()) * ElementSize(header.element_type);
    const size_t width = ElementSize(header.element_type);
    layout.swap_bytes = !header.big_endian ? 1 : IsComplex(header.element_type) ? width / 2 : width;
    PENSTOCK_RETURN_IF_ERROR(CountFrames(path, file.identity.size, header, layout, source));
    return MakeRecordSource(std::move(source), layout, std::move(file.fd));
  }

 private:
  // The file's size decides, not the header.
  static Status CountFrames(const std::filesystem::path& path, uint64_t size,
                            const NpyHeader& header, const RecordLayout& layout,
                            SourceDescription& source) {
    const uint64_t stated = header.data_bytes / layout.frame_bytes;
    const uint64_t present = size > header.data_offset ? size - header.data_offset : 0;
    source.frame_count = static_cast<int64_t>(std::min(stated, present / layout.frame_bytes));
    if (source.frame_count == 0) {
      return Error::Corrupt("the file holds no complete frame")
          .In(path.string())
          .AtOffset(header.data_offset)
          .Expected(
              fmt::format("frames of {} bytes, shape {}", layout.frame_bytes, ShapeText(header)))
          .Found(fmt::format("{} bytes", present));
    }
    if (present == header.data_bytes) return Status::Ok();
    Anomaly anomaly;
    anomaly.kind = present < header.data_bytes ? AnomalyKind::kTruncated : AnomalyKind::kOther;
    anomaly.file = path.string();
    anomaly.byte_offset = std::min(size, header.data_offset + header.data_bytes);
    anomaly.message = fmt::format("shape {} needs {} bytes of elements, found {}",
                                  ShapeText(header), header.data_bytes, present);
    source.anomalies.push_back(std::move(anomaly));
    return Status::Ok();
  }
};

}  // namespace

const SourceFormat& NpyFormat() {
  static const Npy kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
