// The header of a block file: fixed fields, then a note.

#ifndef PENSTOCK_INGEST_FORMATS_BLO_BLO_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_BLO_BLO_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::blo {

inline constexpr size_t kFixedBytes = 240;
inline constexpr uint64_t kRecordHeaderBytes = 6;  // AA 55 and the number of the frame

struct Header {
  uint16_t format = 0;  // 258, or 259 for version 1.3
  uint32_t image_offset = 0;
  uint32_t frames_offset = 0;
  uint16_t side = 0;
  uint16_t columns = 0;
  uint16_t rows = 0;
  uint16_t scan_rotation = 0;  // 1/100 degree
  double step_x = 0;           // nm
  double step_y = 0;
  uint32_t beam_energy = 0;       // V
  uint16_t pixels_per_metre = 0;  // 100 * pixels per cm
  uint32_t camera_length = 0;     // 1/10 mm
  int depth = 8;                  // bits of a pixel
  std::vector<std::byte> fixed;   // the fixed fields as they are
  std::string note;               // UTF-8
  std::vector<std::string> complaints;

  int64_t Frames() const { return int64_t{rows} * columns; }
  uint64_t RecordBytes() const { return RecordBytes(depth); }
  uint64_t RecordBytes(int bits) const {
    return kRecordHeaderBytes + uint64_t{side} * side * static_cast<uint64_t>(bits) / 8;
  }
};

// Every field is checked against the others and the file's size.
Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path);

// Scan shape, axes, facts, vendor headers.
void Describe(const Header& header, const std::string& name, SourceDescription& source);

}  // namespace penstock::ingest::blo

#endif  // PENSTOCK_INGEST_FORMATS_BLO_BLO_HEADER_H_
