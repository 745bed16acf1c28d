// The header of a stream and those of its images.

#ifndef PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::tvips {

inline constexpr uint64_t kSeriesHeaderBytes = 256;
// Of the image headers of version 2 that are understood; of version 1 there are 12 bytes.
inline constexpr size_t kMaxImageHeaderBytes = 108;

struct SeriesHeader {
  int32_t version = 0;
  int32_t columns = 0;
  int32_t rows = 0;
  int32_t bits = 0;
  int32_t offset_x = 0;
  int32_t offset_y = 0;
  int32_t binning_x = 0;
  int32_t binning_y = 0;
  int32_t pixel_size = 0;    // nm
  int32_t high_tension = 0;  // kV
  int32_t magnification = 0;
  uint64_t image_header_bytes = 0;
  std::vector<std::byte> fixed;

  ElementType Type() const { return bits == 16 ? ElementType::kUint16 : ElementType::kUint8; }
  uint64_t FrameBytes() const {
    return static_cast<uint64_t>(columns) * static_cast<uint64_t>(rows) * ElementSize(Type());
  }
  uint64_t RecordBytes() const { return image_header_bytes + FrameBytes(); }
  size_t UnderstoodBytes() const {
    return image_header_bytes < kMaxImageHeaderBytes ? image_header_bytes : kMaxImageHeaderBytes;
  }
};

bool IsSeriesHeader(std::span<const std::byte> head);

Result<SeriesHeader> ReadSeriesHeader(int fd, uint64_t file_bytes,
                                      const std::filesystem::path& path);

struct ScanPosition {
  int64_t x = 0;
  int64_t y = 0;
  bool operator==(const ScanPosition&) const = default;
};

// Members are there as far as the image header reaches.
struct ImageHeader {
  int64_t counter = 0;
  std::optional<int64_t> time_unix_ns;
  std::optional<uint32_t> mode;  // 1 imaging, 2 diffraction
  std::optional<double> stage_alpha;
  std::optional<double> stage_beta;
  std::optional<ScanPosition> scan;  // also nothing where it is no whole position
};

// Precondition: bytes.size() == header.UnderstoodBytes().
ImageHeader ParseImageHeader(const SeriesHeader& header, std::span<const std::byte> bytes);

// "scan_012.tvips" is number 12 of "scan".
std::optional<std::pair<std::string, int64_t>> ParseName(const std::filesystem::path& path);

}  // namespace penstock::ingest::tvips

#endif  // PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_HEADER_H_
