#include "ingest/formats/raw/raw_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "ingest/formats/raw/record_source.h"

namespace penstock::ingest {

namespace {

// What the user has to say of a raw file; shared by the errors about it.
constexpr std::string_view kAdvice =
    "state --sig-shape ROWS,COLUMNS and --dtype TYPE (and --offset, --frame-header, "
    "--frame-footer, --big-endian where they apply)";

Status RequireKnownShape(const std::filesystem::path& path, const OpenOptions& options,
                         uint64_t file_bytes) {
  if (options.signal_shape && options.element_type) return Status::Ok();
  const std::vector<std::string> shapes = PlausibleRawShapes(file_bytes, 6);
  std::string advice(kAdvice);
  if (!shapes.empty()) advice += fmt::format("; the size would fit {}", fmt::join(shapes, ", "));
  return Error::InvalidArgument("a raw file does not say what it holds")
      .In(path.string())
      .Expected("frame shape and element type from the command line")
      .Found(options.signal_shape   ? "no element type"
             : options.element_type ? "no frame shape"
                                    : "neither")
      .Advice(advice);
}

Result<RecordLayout> LayoutOfRecords(const std::filesystem::path& path,
                                     const OpenOptions& options) {
  const DatasetShape one_frame{{1, 1, true}, *options.signal_shape, *options.element_type};
  PENSTOCK_RETURN_IF_ERROR(one_frame.Validate());
  constexpr uint64_t kLargest = uint64_t{1} << 62;
  if (options.file_header_bytes > kLargest || options.frame_header_bytes > kLargest ||
      options.frame_footer_bytes > kLargest) {
    return Error::InvalidArgument("a header or footer of more than 2^62 bytes").In(path.string());
  }
  const size_t width = ElementSize(*options.element_type);
  RecordLayout layout;
  layout.file_header_bytes = options.file_header_bytes;
  layout.frame_header_bytes = options.frame_header_bytes;
  layout.frame_bytes = one_frame.frame_bytes();
  layout.frame_footer_bytes = options.frame_footer_bytes;
  // A complex number is two numbers of half its size.
  layout.swap_bytes = !options.big_endian                ? 1
                      : IsComplex(*options.element_type) ? width / 2
                                                         : width;
  return layout;
}

class Raw final : public SourceFormat {
 public:
  std::string_view name() const override { return "raw"; }
  std::string_view description() const override {
    return "plain raw frames (shape and type from the command line)";
  }

  // Nothing in the bytes can tell, so it is never chosen without being named.
  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> /*head*/) const override {
    return {};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(path));
    const uint64_t size = file.identity.size;
    PENSTOCK_RETURN_IF_ERROR(RequireKnownShape(path, options, size));
    PENSTOCK_ASSIGN_OR_RETURN(const RecordLayout layout, LayoutOfRecords(path, options));
    const uint64_t record = layout.record_bytes();
    if (size < layout.file_header_bytes || size - layout.file_header_bytes < record) {
      return Error::Corrupt("the file holds no complete frame")
          .In(path.string())
          .AtOffset(layout.file_header_bytes)
          .Expected(fmt::format("a record of {} bytes after a file header of {} bytes", record,
                                layout.file_header_bytes))
          .Found(fmt::format("a file of {} bytes", size))
          .Advice("check --sig-shape, --dtype and --offset, and that the file is complete");
    }
    const uint64_t body = size - layout.file_header_bytes;

    SourceDescription source;
    source.format = "raw";
    source.suggested_name = path.stem().string();
    source.files = {{path, "frames", "application/octet-stream", file.identity}};
    source.signal = *options.signal_shape;
    source.element_type = *options.element_type;
    source.frame_count = static_cast<int64_t>(body / record);
    if (auto torn = TornRecord(path, size, layout)) source.anomalies.push_back(*std::move(torn));
    return MakeRecordSource(std::move(source), layout, std::move(file.fd), true);
  }
};

}  // namespace

const SourceFormat& RawFormat() {
  static const Raw kFormat;
  return kFormat;
}

std::vector<std::string> PlausibleRawShapes(uint64_t bytes, size_t limit) {
  static constexpr std::array<int64_t, 10> kSides = {256, 128, 512, 1024, 2048,
                                                     64,  515, 514, 4096, 192};
  static constexpr std::array<ElementType, 4> kTypes = {
      ElementType::kUint16, ElementType::kUint8, ElementType::kUint32, ElementType::kFloat32};
  std::vector<std::string> shapes;
  for (const int64_t side : kSides) {
    for (const ElementType type : kTypes) {
      const uint64_t frame = static_cast<uint64_t>(side * side) * ElementSize(type);
      if (bytes == 0 || bytes % frame != 0 || shapes.size() >= limit) continue;
      shapes.push_back(
          fmt::format("{},{} {}: {} frames", side, side, ZarrDataType(type), bytes / frame));
    }
  }
  return shapes;
}

}  // namespace penstock::ingest
