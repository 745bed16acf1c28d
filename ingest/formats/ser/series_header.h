// The parts of a TIA .ser file besides pixels: series header, dimension records, offset tables,
// element heads and tags. docs/formats/ser.md has the layout and its evidence.

#ifndef PENSTOCK_INGEST_FORMATS_SER_SERIES_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_SER_SERIES_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::ser {

inline constexpr uint32_t kElementKindSpectra = 0x4120;
inline constexpr uint32_t kElementKindImages = 0x4122;
inline constexpr uint32_t kTagKindTime = 0x4152;
inline constexpr uint32_t kTagKindTimeAndPosition = 0x4142;
inline constexpr uint64_t kElementHeadBytes = 50;  // of an image element

// value(i) = offset + (i - element) * delta.
struct Calibration {
  double offset = 0;
  double delta = 0;
  uint32_t element = 0;

  double At(double index) const { return offset + (index - element) * delta; }
  bool operator==(const Calibration&) const = default;
};

struct Dimension {
  uint32_t size = 0;
  Calibration calibration;
  std::string description;  // "Position", "Number"
  std::string units;        // "meters" or ""
};

struct SeriesHeader {
  uint16_t version = 0;  // 0x0210: 32-bit offsets, 0x0220: 64-bit offsets
  uint32_t element_kind = 0;
  uint32_t tag_kind = 0;
  uint32_t total_elements = 0;  // allocated
  uint32_t valid_elements = 0;  // written
  uint64_t table_offset = 0;
  std::vector<Dimension> dimensions;  // fast first
  std::vector<std::byte> raw;         // the header and dimension records as they are in the file

  uint64_t OffsetBytes() const { return version == 0x0210 ? 4 : 8; }
  // Both tables, data and tags, with an entry for every allocated element.
  uint64_t TableEnd() const { return table_offset + uint64_t{2} * total_elements * OffsetBytes(); }
  uint64_t TagBytes() const { return tag_kind == kTagKindTimeAndPosition ? 24 : 8; }
};

// Spectra are accepted here, so that an EMI can tell its members apart; every field is checked
// against the file's size and the values that exist.
Result<SeriesHeader> ReadSeriesHeader(int fd, uint64_t file_bytes,
                                      const std::filesystem::path& path);

// The first `count` entries of the data (or tag) offset table. Precondition: count is at most
// header.total_elements and at most kMaxElements.
inline constexpr uint32_t kMaxElements = uint32_t{1} << 24;
Result<std::vector<uint64_t>> ReadOffsets(int fd, const SeriesHeader& header, bool tags,
                                          uint32_t count, const std::filesystem::path& path);

struct ElementHead {
  Calibration x;
  Calibration y;  // of the rows in file order, bottom up
  uint16_t element_type = 0;
  uint32_t width = 0;
  uint32_t height = 0;

  bool SameGeometry(const ElementHead& other) const {
    return element_type == other.element_type && width == other.width && height == other.height;
  }
};

// Precondition: bytes.size() >= kElementHeadBytes.
ElementHead ParseElementHead(std::span<const std::byte> bytes);

// Type numbers 1 to 10 of the element head; nothing for any other.
std::optional<ElementType> ElementTypeOf(uint16_t number);

struct Tag {
  uint16_t kind = 0;
  uint32_t unix_time = 0;  // seconds, UTC
  double x = 0;            // m; with kind kTagKindTimeAndPosition
  double y = 0;
};

// Precondition: bytes.size() >= 8, or >= 24 when `kind` has positions. Nothing when the tag's own
// kind is not `kind`.
std::optional<Tag> ParseTag(std::span<const std::byte> bytes, uint32_t kind);

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_SERIES_HEADER_H_
