// The text header of an FRMS6 acquisition, and the head of each of its files.

#ifndef PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_HEADER_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::ingest::frms6 {

inline constexpr uint64_t kFileHeaderBytes = 1024;
inline constexpr uint64_t kFrameHeaderBytes = 64;

using Size = std::pair<int64_t, int64_t>;

struct Measurement {
  std::string text;                           // the file, UTF-8
  std::map<std::string, std::string> values;  // of [measurementInfo]; keys in lower case
  int64_t binning = 1;                        // of rows: 1, 2 or 4
  Size window;                                // of readoutMode
  std::optional<Size> scan;                   // stemImageSize as it is written
  std::optional<int64_t> dark_frames;
  std::optional<int64_t> signal_frames;
  std::optional<int64_t> dwell_us;
  std::vector<std::string> complaints;
};

// A line that is [measurementInfo].
bool LooksLikeMeasurement(std::string_view text);

Result<Measurement> ReadMeasurement(const std::filesystem::path& path);

struct File {
  std::filesystem::path path;
  int64_t number = 0;  // of the name: 0 holds dark frames
  FileIdentity identity;
  int64_t columns = 0;  // as stored: both halves side by side
  int64_t rows = 0;
  int64_t declared_frames = 0;  // 0 where the header does not say
  int64_t frame_count = 0;      // complete ones
  uint64_t trailing_bytes = 0;

  uint64_t RecordBytes() const {
    return kFrameHeaderBytes + static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) * 2;
  }
};

bool IsFileHead(std::span<const std::byte> head);

Result<File> InspectFile(const std::filesystem::path& path, int64_t number);

// "scan_012.frms6" is number 12 of "scan".
std::optional<std::pair<std::string, int64_t>> ParseName(const std::filesystem::path& path);

}  // namespace penstock::ingest::frms6

#endif  // PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_HEADER_H_
