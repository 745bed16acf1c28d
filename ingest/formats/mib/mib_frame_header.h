// The text header in front of every frame of a Merlin MIB file.
//
// Source of the format: the maker's "MQ1" header as found in files of Merlin software 0.67 to 1.5.
// Comma-separated ASCII, padded to the stated length with NUL or spaces. Fields are found by their
// commas, never by position: the sequence number may be wider than six digits.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_FRAME_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_FRAME_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::ingest {

inline constexpr size_t kMibMinHeaderBytes = 64;
inline constexpr size_t kMibMaxHeaderBytes = 65536;

// U01 and U64 are in the maker's list of types; no file with them is known.
enum class MibPixelType : uint8_t { kU01, kU08, kU16, kU32, kU64, kR64 };
std::string_view MibPixelTypeName(MibPixelType type);

// What decides where pixels lie: equal in every frame of an acquisition.
struct MibFrameLayout {
  uint32_t header_bytes = 0;
  uint32_t chips = 0;
  uint32_t width = 0;  // columns as stored
  uint32_t rows = 0;
  MibPixelType type = MibPixelType::kU16;
  std::string assembly;  // "1x1", "2x2", "2x2G", ... without padding
  uint32_t chip_mask = 0;
  std::optional<int> counter_depth;  // from the MQ1A extension

  bool operator==(const MibFrameLayout&) const = default;
  // "U16 512 x 512, 4 chips 2x2, header of 768 bytes, depth 12": for messages.
  std::string ToString() const;
};

struct MibFrameHeader {
  MibFrameLayout layout;
  int64_t sequence_number = 0;           // 1-based
  std::string local_time;                // as written, no time zone
  std::optional<int64_t> local_time_ns;  // since 1970 on the local clock; only for differences
  std::optional<int64_t> exposure_ns;    // exact from MQ1A, otherwise rounded to 1 us
  bool exposure_is_exact = false;
  std::string utc_time;                // as written
  std::optional<int64_t> utc_unix_ns;  // from MQ1A
  std::optional<int> counter;          // 0, 1
  std::optional<int> colour_mode;      // 0, 1
  std::optional<int> gain_mode;        // 0..3 = SLGM, LGM, HGM, SHGM
  std::vector<double> thresholds_kev;  // may be empty
  std::string text;                    // without the padding
};

// kFrame reads what is checked and recorded for every frame; kAll also thresholds and text.
enum class MibHeaderDetail : uint8_t { kFrame, kAll };

// Parses the header at the start of `bytes`, which may hold more than the header. Errors carry
// neither file nor offset: the caller adds them. kUnsupported for a dump of the live stream and for
// pixel types without a known layout, otherwise kCorrupt.
Result<MibFrameHeader> ParseMibFrameHeader(std::span<const std::byte> bytes,
                                           MibHeaderDetail detail);

// The header length that the first bytes state; kCorrupt when they are no Merlin header. Enough to
// know how much to read for ParseMibFrameHeader. Looks at the first 64 bytes at most.
Result<uint32_t> MibHeaderBytes(std::span<const std::byte> bytes);

// A dump of the live stream: "MPX," + 10 digits + "," in front of each message.
bool IsMerlinLiveDump(std::span<const std::byte> bytes);

// "2021-04-15T13:43:00.835428351Z" to nanoseconds since 1970; absent when it is anything else.
std::optional<int64_t> ParseMibUtcTime(std::string_view text);
// "2021-04-15 14:43:00.835428" or, before 2018, "15/04/2021 14:43:00.835428".
std::optional<int64_t> ParseMibLocalTime(std::string_view text);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_FRAME_HEADER_H_
