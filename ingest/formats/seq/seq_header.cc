#include "ingest/formats/seq/seq_header.h"

#include <fmt/format.h>

#include "ingest/formats/records/text.h"
#include "penstock/base/file.h"

namespace penstock::ingest::seq {

namespace {

using records::LoadLittle;

constexpr uint32_t kMagic = 0xFEED;
constexpr uint32_t kMonochrome = 100;

// UTF-16 up to a NUL; characters outside Latin-1 become '?'.
std::string Utf16(std::span<const std::byte> bytes) {
  std::string latin1;
  for (size_t i = 0; i + 2 <= bytes.size(); i += 2) {
    const auto unit = LoadLittle<uint16_t>(bytes, i);
    if (unit == 0) break;
    latin1 += unit < 256 ? static_cast<char>(unit) : '?';
  }
  return records::Latin1ToUtf8(latin1);
}

Error Unsupported(std::string what, const std::filesystem::path& path, uint64_t offset,
                  std::string expected, uint32_t found) {
  return Error::Unsupported(std::move(what))
      .In(path.string())
      .AtOffset(offset)
      .Expected(std::move(expected))
      .Found(fmt::format("{}", found))
      .Advice("export the sequence as uncompressed monochrome images");
}

}  // namespace

bool IsHeader(std::span<const std::byte> head) {
  return head.size() >= 640 && LoadLittle<uint32_t>(head, 0) == kMagic &&
         Utf16(head.subspan(4, 24)).starts_with("Norpix seq");
}

Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path) {
  Header header;
  PENSTOCK_ASSIGN_OR_RETURN(header.fixed,
                            records::ReadHeaderBytes(fd, file_bytes, kHeaderBytes, path));
  const std::span<const std::byte> bytes = header.fixed;
  if (LoadLittle<uint32_t>(bytes, 0) != kMagic) {
    return Error::Corrupt("this is not a Norpix sequence")
        .In(path.string())
        .AtOffset(0)
        .Expected("ed fe 00 00")
        .Found(records::Hexadecimal(bytes.first(4)));
  }
  header.version = LoadLittle<int32_t>(bytes, 28);
  header.description = Utf16(bytes.subspan(36, 512));
  header.columns = LoadLittle<uint32_t>(bytes, 548);
  header.rows = LoadLittle<uint32_t>(bytes, 552);
  header.bit_depth = LoadLittle<uint32_t>(bytes, 556);
  header.bit_depth_real = LoadLittle<uint32_t>(bytes, 560);
  header.image_bytes = LoadLittle<uint32_t>(bytes, 564);
  header.allocated_frames = LoadLittle<uint32_t>(bytes, 572);
  header.record_bytes = LoadLittle<uint32_t>(bytes, 580);
  const auto image_format = LoadLittle<uint32_t>(bytes, 568);
  const auto compression = LoadLittle<uint32_t>(bytes, 620);
  if (header.version < 1 || header.version > 64) {
    return Unsupported("a sequence of an unknown version", path, 28, "a version from 1 on",
                       static_cast<uint32_t>(header.version));
  }
  if (image_format != kMonochrome) {
    return Unsupported("the images are not monochrome", path, 568, "image format 100",
                       image_format);
  }
  if (compression != 0) {
    return Unsupported("the images are compressed", path, 620, "compression 0", compression);
  }
  if (header.bit_depth == 8) {
    header.element_type = ElementType::kUint8;
  } else if (header.bit_depth == 16) {
    header.element_type = ElementType::kUint16;
  } else if (header.bit_depth == 32) {
    header.element_type = ElementType::kUint32;
  } else {
    return Unsupported("pixels of an unknown depth", path, 556, "8, 16 or 32 bits",
                       header.bit_depth);
  }
  constexpr uint32_t kMaxSide = 1U << 24;
  if (header.columns == 0 || header.rows == 0 || header.columns > kMaxSide ||
      header.rows > kMaxSide) {
    return Error::Corrupt("not the size of an image")
        .In(path.string())
        .AtOffset(548)
        .Expected("columns and rows of at least 1")
        .Found(fmt::format("{} and {}", header.columns, header.rows));
  }
  if (header.record_bytes < header.FrameBytes()) {
    return Error::Corrupt("the images do not fit between their begins")
        .In(path.string())
        .AtOffset(580)
        .Expected(fmt::format("at least {} bytes for {} x {} pixels of {} bit", header.FrameBytes(),
                              header.rows, header.columns, header.bit_depth))
        .Found(fmt::format("a true image size of {}", header.record_bytes));
  }
  if (header.image_bytes != header.FrameBytes()) {
    header.contradictions.push_back(fmt::format(
        "the header states images of {} bytes, but {} x {} pixels of {} bit have {}",
        header.image_bytes, header.rows, header.columns, header.bit_depth, header.FrameBytes()));
  }
  return header;
}

std::optional<int64_t> TimeBehind(const Header& header, std::span<const std::byte> behind) {
  if (behind.size() < header.TimeBytes()) return std::nullopt;
  const auto seconds = LoadLittle<int32_t>(behind, 0);
  const auto milliseconds = LoadLittle<uint16_t>(behind, 4);
  const auto microseconds = header.TimeBytes() == 8 ? LoadLittle<uint16_t>(behind, 6) : uint16_t{0};
  if (seconds <= 0 || milliseconds >= 1000 || microseconds >= 1000) return std::nullopt;
  return int64_t{seconds} * 1'000'000'000 + milliseconds * int64_t{1'000'000} +
         microseconds * int64_t{1000};
}

}  // namespace penstock::ingest::seq
