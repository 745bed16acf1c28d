#include "ingest/formats/tvips/tvips_header.h"

#include <fmt/format.h>

#include <cmath>

#include "ingest/formats/records/text.h"
#include "penstock/base/file.h"

namespace penstock::ingest::tvips {

namespace {

using records::LoadLittle;

constexpr uint64_t kVersion1ImageHeaderBytes = 12;
constexpr uint64_t kMostImageHeaderBytes = uint64_t{1} << 20;
constexpr int32_t kMaxSide = 1 << 24;

std::optional<int64_t> WholeNumber(float value) {
  if (!(value >= 0) || value > 1e6F || value != std::floor(value)) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace

bool IsSeriesHeader(std::span<const std::byte> head) {
  if (head.size() < kSeriesHeaderBytes || LoadLittle<int32_t>(head, 0) != 256) return false;
  const auto version = LoadLittle<int32_t>(head, 4);
  const auto bits = LoadLittle<int32_t>(head, 16);
  return (version == 1 || version == 2) && (bits == 8 || bits == 16);
}

Result<SeriesHeader> ReadSeriesHeader(int fd, uint64_t file_bytes,
                                      const std::filesystem::path& path) {
  SeriesHeader header;
  PENSTOCK_ASSIGN_OR_RETURN(header.fixed,
                            records::ReadHeaderBytes(fd, file_bytes, kSeriesHeaderBytes, path));
  const std::span<const std::byte> bytes = header.fixed;
  const auto field = [bytes](size_t index) { return LoadLittle<int32_t>(bytes, index * 4); };
  header.version = field(1);
  header.columns = field(2);
  header.rows = field(3);
  header.bits = field(4);
  header.offset_x = field(5);
  header.offset_y = field(6);
  header.binning_x = field(7);
  header.binning_y = field(8);
  header.pixel_size = field(9);
  header.high_tension = field(10);
  header.magnification = field(11);
  if (!IsSeriesHeader(bytes)) {
    return Error::Corrupt("this is not the begin of a TVIPS stream")
        .In(path.string())
        .AtOffset(0)
        .Expected("header size 256, version 1 or 2, 8 or 16 bits per pixel")
        .Found(fmt::format("size {}, version {}, {} bits", field(0), header.version, header.bits))
        .Advice("the file with number 000 holds the header");
  }
  if (header.columns < 1 || header.rows < 1 || header.columns > kMaxSide ||
      header.rows > kMaxSide) {
    return Error::Corrupt("not the size of an image")
        .In(path.string())
        .AtOffset(8)
        .Expected("columns and rows of at least 1")
        .Found(fmt::format("{} and {}", header.columns, header.rows));
  }
  const int64_t image_header =
      header.version == 1 ? int64_t{kVersion1ImageHeaderBytes} : int64_t{field(12)};
  if (image_header < int64_t{kVersion1ImageHeaderBytes} ||
      static_cast<uint64_t>(image_header) > kMostImageHeaderBytes) {
    return Error::Corrupt("not the size of an image header")
        .In(path.string())
        .AtOffset(48)
        .Expected(fmt::format("{} to {} bytes", kVersion1ImageHeaderBytes, kMostImageHeaderBytes))
        .Found(fmt::format("{}", image_header));
  }
  header.image_header_bytes = static_cast<uint64_t>(image_header);
  return header;
}

ImageHeader ParseImageHeader(const SeriesHeader& header, std::span<const std::byte> bytes) {
  ImageHeader image;
  image.counter = LoadLittle<uint32_t>(bytes, 0);
  const auto seconds = LoadLittle<uint32_t>(bytes, 4);
  const auto milliseconds = LoadLittle<uint32_t>(bytes, 8);
  if (seconds != 0 && milliseconds < 1000) {
    image.time_unix_ns = int64_t{seconds} * 1'000'000'000 + milliseconds * int64_t{1'000'000};
  }
  if (header.version != 2) return image;
  if (bytes.size() >= 28) image.mode = LoadLittle<uint32_t>(bytes, 24);
  if (bytes.size() >= 48) {
    image.stage_alpha = LoadLittle<float>(bytes, 40);
    image.stage_beta = LoadLittle<float>(bytes, 44);
  }
  if (bytes.size() >= 76) {
    const auto x = WholeNumber(LoadLittle<float>(bytes, 68));
    const auto y = WholeNumber(LoadLittle<float>(bytes, 72));
    if (x && y) image.scan = ScanPosition{*x, *y};
  }
  return image;
}

std::optional<std::pair<std::string, int64_t>> ParseName(const std::filesystem::path& path) {
  if (records::Lowercase(path.extension().string()) != ".tvips") return std::nullopt;
  const std::string stem = path.stem().string();
  const size_t digits = stem.find_last_not_of("0123456789") + 1;
  if (digits < 2 || digits == stem.size() || stem[digits - 1] != '_') return std::nullopt;
  const auto number = records::ParseCount(std::string_view(stem).substr(digits));
  if (!number) return std::nullopt;
  return std::pair(stem.substr(0, digits - 1), *number);
}

}  // namespace penstock::ingest::tvips
