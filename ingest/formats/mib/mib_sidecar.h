// The .hdr text file that Merlin writes beside an acquisition.
//
// Lines "Key:<TAB>value", latin-1, the first line starting with HDR, the last with End. Keys hold
// commas and brackets and come in no fixed order.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_SIDECAR_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_SIDECAR_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::ingest {

namespace mib_key {
inline constexpr std::string_view kFrames = "Frames in Acquisition (Number)";
inline constexpr std::string_view kFramesPerTrigger = "Frames per Trigger (Number)";
inline constexpr std::string_view kCounterDepth = "Counter Depth (number)";
inline constexpr std::string_view kAssembly = "Assembly Size (NX1, 2X2)";
inline constexpr std::string_view kScanX = "ScanX";
inline constexpr std::string_view kScanY = "ScanY";
inline constexpr std::string_view kGapFill = "Gap Fill Mode";
inline constexpr std::string_view kFlatField = "Flat Field File";
inline constexpr std::string_view kThresholds = "Thresholds (keV)";
inline constexpr std::string_view kBias = "Sensor Bias (V)";
inline constexpr std::string_view kClock = "Medipix Clock (MHz)";
inline constexpr std::string_view kChipId = "Chip ID";
inline constexpr std::string_view kChipType = "Chip Type (Medipix 3.0, Medipix 3.1, Medipix 3RX)";
inline constexpr std::string_view kChipMode = "Chip Mode  (SPM, CSM, CM, CSCM)";
inline constexpr std::string_view kGain = "Gain";
inline constexpr std::string_view kPolarity = "Sensor Polarity (Positive, Negative)";
inline constexpr std::string_view kTemperature = "Temperature (C)";
inline constexpr std::string_view kReadout = "Readout System";
inline constexpr std::string_view kSoftware = "Software Version";
}  // namespace mib_key

struct MibSidecar {
  std::filesystem::path path;
  std::string text;                           // whole file, UTF-8
  std::map<std::string, std::string> values;  // UTF-8, without surrounding blanks
  std::vector<std::string> complaints;        // lines or keys that are not as they should be

  // Absent when the key is missing or its value is empty.
  std::optional<std::string> Get(std::string_view key) const;
  // Absent also when the value is not a whole number that is not negative.
  std::optional<int64_t> GetCount(std::string_view key) const;
};

// Parses the contents of the file named for messages. kCorrupt when the first line is not HDR.
Result<MibSidecar> ParseMibSidecar(const std::filesystem::path& path, std::string_view contents);
// Reads at most 1 MiB.
Result<MibSidecar> ReadMibSidecar(const std::filesystem::path& path);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_SIDECAR_H_
