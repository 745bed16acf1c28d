// The header of a sequence.

#ifndef PENSTOCK_INGEST_FORMATS_SEQ_SEQ_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_SEQ_SEQ_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::seq {

inline constexpr uint64_t kHeaderBytes = 1024;  // what is read of it

struct Header {
  int32_t version = 0;
  std::string description;
  uint32_t columns = 0;
  uint32_t rows = 0;
  uint32_t bit_depth = 0;
  uint32_t bit_depth_real = 0;
  uint32_t image_bytes = 0;
  uint32_t allocated_frames = 0;
  uint32_t record_bytes = 0;  // from image to image: "true image size"
  ElementType element_type = ElementType::kUint16;
  std::vector<std::byte> fixed;
  std::vector<std::string> contradictions;

  uint64_t FirstRecord() const { return version >= 5 ? 8192 : 1024; }
  uint64_t FrameBytes() const { return uint64_t{columns} * rows * ElementSize(element_type); }
  // The time behind an image: seconds, milliseconds and, from version 5 on, microseconds.
  size_t TimeBytes() const { return version >= 5 ? 8 : 6; }
};

bool IsHeader(std::span<const std::byte> head);

Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path);

// Nanoseconds since 1970 of the time behind an image; nothing where the record has no place for it
// or it is no time. `behind` is what follows the image in its record.
std::optional<int64_t> TimeBehind(const Header& header, std::span<const std::byte> behind);

}  // namespace penstock::ingest::seq

#endif  // PENSTOCK_INGEST_FORMATS_SEQ_SEQ_HEADER_H_
