#include "ingest/formats/ser/series_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/ser/byte_cursor.h"
#include "penstock/base/file.h"

namespace penstock::ingest::ser {

namespace {

constexpr uint16_t kLittleEndianMark = 0x4949;
constexpr uint16_t kSeriesId = 0x0197;
constexpr uint16_t kVersion32 = 0x0210;
constexpr uint16_t kVersion64 = 0x0220;
constexpr uint32_t kMaxDimensions = 8;
// Header with eight dimension records and their texts; real ones stay under 200 bytes.
constexpr uint64_t kMaxHeaderBytes = 64 << 10;

Error EndsInside(const std::filesystem::path& path, size_t offset, std::string what) {
  return Error::Corrupt(
             fmt::format("the file ends, or exceeds {} bytes, inside {}", kMaxHeaderBytes, what))
      .In(path.string())
      .AtOffset(offset)
      .Expected("a complete TIA series header")
      .Found("no more bytes of it")
      .Advice("check whether the file was copied completely");
}

Result<Dimension> ReadDimension(ByteCursor& cursor, const std::filesystem::path& path) {
  const size_t start = cursor.position();
  const auto size = cursor.Read<uint32_t>();
  const auto offset = cursor.Read<double>();
  const auto delta = cursor.Read<double>();
  const auto element = cursor.Read<uint32_t>();
  if (!size || !offset || !delta || !element) {
    return EndsInside(path, start, "a dimension record");
  }
  Dimension dimension{*size, {*offset, *delta, *element}, {}, {}};
  for (std::string* text : {&dimension.description, &dimension.units}) {
    const size_t at = cursor.position();
    const auto length = cursor.Read<uint32_t>();
    if (!length) return EndsInside(path, at, "a dimension record");
    auto read = cursor.ReadText(*length);
    if (!read) {
      return Error::Corrupt("the text of a dimension record is longer than what follows")
          .In(path.string())
          .AtOffset(at)
          .Expected(fmt::format("at most {} bytes", cursor.left()))
          .Found(fmt::format("a length of {}", *length))
          .Advice("the header is damaged; copy the file again from the microscope");
    }
    *text = *std::move(read);
  }
  if (dimension.size == 0) {
    return Error::Corrupt("a dimension of the series has size 0")
        .In(path.string())
        .AtOffset(start)
        .Expected("at least 1")
        .Found("0")
        .Advice("the header is damaged; copy the file again from the microscope");
  }
  return dimension;
}

Status CheckSignature(uint16_t mark, uint16_t id, uint16_t version,
                      const std::filesystem::path& path) {
  if (mark == 0x4d4d) {
    return Error::Unsupported("a big-endian TIA series; no such file has ever been seen")
        .In(path.string())
        .AtOffset(0)
        .Expected("the byte order mark 49 49")
        .Found("4d 4d")
        .Advice("please report this file");
  }
  if (mark != kLittleEndianMark || id != kSeriesId) {
    return Error::Corrupt("not a TIA series")
        .In(path.string())
        .AtOffset(0)
        .Expected("the bytes 49 49 97 01")
        .Found(
            fmt::format("{:02x} {:02x} {:02x} {:02x}", mark & 0xff, mark >> 8, id & 0xff, id >> 8))
        .Advice("check the file, or name its format with --format");
  }
  if (version != kVersion32 && version != kVersion64) {
    return Error::Unsupported("unknown version of a TIA series")
        .In(path.string())
        .AtOffset(4)
        .Expected("0x0210 or 0x0220")
        .Found(fmt::format("{:#06x}", version))
        .Advice("please report this file");
  }
  return Status::Ok();
}

Status CheckCounts(const SeriesHeader& header, uint64_t file_bytes, size_t table_field,
                   const std::filesystem::path& path) {
  const auto damaged = [&](std::string what, uint64_t offset, std::string expected,
                           std::string found) {
    return Error::Corrupt(std::move(what))
        .In(path.string())
        .AtOffset(offset)
        .Expected(std::move(expected))
        .Found(std::move(found))
        .Advice("the header is damaged; copy the file again from the microscope");
  };
  if (header.element_kind != kElementKindSpectra && header.element_kind != kElementKindImages) {
    return damaged("unknown kind of elements", 6, "0x4120 (spectra) or 0x4122 (images)",
                   fmt::format("{:#x}", header.element_kind));
  }
  if (header.tag_kind != kTagKindTime && header.tag_kind != kTagKindTimeAndPosition) {
    return damaged("unknown kind of tags", 10, "0x4152 (time) or 0x4142 (time and position)",
                   fmt::format("{:#x}", header.tag_kind));
  }
  if (header.valid_elements > header.total_elements) {
    return damaged("more elements written than allocated", 18,
                   fmt::format("at most {}", header.total_elements),
                   std::to_string(header.valid_elements));
  }
  if (header.valid_elements == 0) {
    return Error::Corrupt("the series has no written element")
        .In(path.string())
        .AtOffset(18)
        .Expected("at least 1 valid element")
        .Found("0")
        .Advice("the acquisition was stopped before its first frame; there is nothing to ingest");
  }
  if (header.version == kVersion32 && file_bytes > (uint64_t{1} << 32)) {
    return damaged("a series with 32-bit offsets cannot be this large", 4,
                   "at most 4294967296 bytes in version 0x0210", fmt::format("{}", file_bytes));
  }
  // 2 * 2^32 * 8 cannot overflow; the sum with a hostile table offset can.
  const uint64_t table_bytes = uint64_t{2} * header.total_elements * header.OffsetBytes();
  if (header.table_offset > file_bytes || table_bytes > file_bytes - header.table_offset) {
    return damaged("the offset table lies outside the file", table_field,
                   fmt::format("{} bytes of table within the file's {}", table_bytes, file_bytes),
                   fmt::format("a table at {}", header.table_offset));
  }
  return Status::Ok();
}

}  // namespace

Result<SeriesHeader> ReadSeriesHeader(int fd, uint64_t file_bytes,
                                      const std::filesystem::path& path) {
  std::vector<std::byte> bytes(std::min(file_bytes, kMaxHeaderBytes));
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, 0, bytes, path));
  ByteCursor cursor(bytes);

  const auto mark = cursor.Read<uint16_t>();
  const auto id = cursor.Read<uint16_t>();
  const auto version = cursor.Read<uint16_t>();
  if (!mark || !id || !version) return EndsInside(path, 0, "the signature");
  PENSTOCK_RETURN_IF_ERROR(CheckSignature(*mark, *id, *version, path));

  SeriesHeader header;
  header.version = *version;
  const auto element_kind = cursor.Read<uint32_t>();
  const auto tag_kind = cursor.Read<uint32_t>();
  const auto total = cursor.Read<uint32_t>();
  const auto valid = cursor.Read<uint32_t>();
  const size_t table_field = cursor.position();
  std::optional<uint64_t> table;
  if (header.version == kVersion32) {
    if (const auto offset = cursor.Read<uint32_t>()) table = *offset;
  } else {
    table = cursor.Read<uint64_t>();
  }
  const size_t dimensions_field = cursor.position();
  const auto dimension_count = cursor.Read<uint32_t>();
  if (!element_kind || !tag_kind || !total || !valid || !table || !dimension_count) {
    return EndsInside(path, cursor.position(), "the series header");
  }
  header.element_kind = *element_kind;
  header.tag_kind = *tag_kind;
  header.total_elements = *total;
  header.valid_elements = *valid;
  header.table_offset = *table;
  PENSTOCK_RETURN_IF_ERROR(CheckCounts(header, file_bytes, table_field, path));
  if (*dimension_count == 0 || *dimension_count > kMaxDimensions) {
    return Error::Corrupt("impossible number of dimensions")
        .In(path.string())
        .AtOffset(dimensions_field)
        .Expected(fmt::format("1 to {}", kMaxDimensions))
        .Found(std::to_string(*dimension_count))
        .Advice("the header is damaged; copy the file again from the microscope");
  }
  for (uint32_t i = 0; i < *dimension_count; ++i) {
    PENSTOCK_ASSIGN_OR_RETURN(Dimension dimension, ReadDimension(cursor, path));
    header.dimensions.push_back(std::move(dimension));
  }
  if (header.table_offset < cursor.position()) {
    return Error::Corrupt("the offset table overlaps the header")
        .In(path.string())
        .AtOffset(table_field)
        .Expected(fmt::format("a table at or after {}", cursor.position()))
        .Found(fmt::format("a table at {}", header.table_offset))
        .Advice("the header is damaged; copy the file again from the microscope");
  }
  bytes.resize(cursor.position());
  header.raw = std::move(bytes);
  return header;
}

Result<std::vector<uint64_t>> ReadOffsets(int fd, const SeriesHeader& header, bool tags,
                                          uint32_t count, const std::filesystem::path& path) {
  constexpr uint32_t kEntriesPerRead = 1 << 16;
  const uint64_t entry = header.OffsetBytes();
  const uint64_t start = header.table_offset + (tags ? header.total_elements * entry : 0);
  std::vector<uint64_t> offsets;
  offsets.reserve(count);
  std::vector<std::byte> buffer;
  for (uint32_t done = 0; done < count;) {
    const uint32_t batch = std::min(kEntriesPerRead, count - done);
    buffer.resize(batch * entry);
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, start + done * entry, buffer, path));
    for (uint32_t i = 0; i < batch; ++i) {
      offsets.push_back(entry == 4 ? LoadLittle<uint32_t>(buffer, i * 4)
                                   : LoadLittle<uint64_t>(buffer, i * 8));
    }
    done += batch;
  }
  return offsets;
}

ElementHead ParseElementHead(std::span<const std::byte> bytes) {
  ElementHead head;
  head.x = {LoadLittle<double>(bytes, 0), LoadLittle<double>(bytes, 8),
            LoadLittle<uint32_t>(bytes, 16)};
  head.y = {LoadLittle<double>(bytes, 20), LoadLittle<double>(bytes, 28),
            LoadLittle<uint32_t>(bytes, 36)};
  head.element_type = LoadLittle<uint16_t>(bytes, 40);
  head.width = LoadLittle<uint32_t>(bytes, 42);
  head.height = LoadLittle<uint32_t>(bytes, 46);
  return head;
}

std::optional<ElementType> ElementTypeOf(uint16_t number) {
  constexpr ElementType kTypes[] = {ElementType::kUint8,     ElementType::kUint16,
                                    ElementType::kUint32,    ElementType::kInt8,
                                    ElementType::kInt16,     ElementType::kInt32,
                                    ElementType::kFloat32,   ElementType::kFloat64,
                                    ElementType::kComplex64, ElementType::kComplex128};
  if (number < 1 || number > std::size(kTypes)) return std::nullopt;
  return kTypes[number - 1];
}

std::optional<Tag> ParseTag(std::span<const std::byte> bytes, uint32_t kind) {
  Tag tag;
  tag.kind = LoadLittle<uint16_t>(bytes, 0);
  if (tag.kind != kind) return std::nullopt;
  tag.unix_time = LoadLittle<uint32_t>(bytes, 4);
  if (kind == kTagKindTimeAndPosition) {
    tag.x = LoadLittle<double>(bytes, 8);
    tag.y = LoadLittle<double>(bytes, 16);
  }
  return tag;
}

}  // namespace penstock::ingest::ser
