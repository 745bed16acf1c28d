// What the formats share besides pixels: numbers out of bytes (numbers.h), texts for the sidecar,
// anomalies and errors.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/formats/records/numbers.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::records {

inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Sixteen bytes a line.
std::string Hexadecimal(std::span<const std::byte> bytes);

// NUL, which text in HDF5 cannot hold, ends the text.
std::string Latin1ToUtf8(std::string_view latin1);

// As it is where it is UTF-8 without NUL, else taken as Latin-1.
std::string ToUtf8(std::string_view text);

std::string_view Trim(std::string_view text);
std::string Lowercase(std::string_view text);

// The whole text, without surrounding blanks, as one number; nothing otherwise.
std::optional<double> ParseNumber(std::string_view text);
std::optional<int64_t> ParseCount(std::string_view text);  // nor for negative numbers

// "2024-03-02T10:20:30Z", with ".123456" where there is a fraction; nothing for years before 1970
// and after 2200, which are no time of an acquisition.
std::optional<std::string> UtcText(int64_t unix_ns);

Anomaly MakeAnomaly(AnomalyKind kind, const std::filesystem::path& file, std::string message,
                    std::optional<uint64_t> offset = {}, std::optional<int64_t> frame = {});

// The first `header_bytes` bytes of a file of `file_bytes`; kCorrupt where it is shorter.
Result<std::vector<std::byte>> ReadHeaderBytes(int fd, uint64_t file_bytes, uint64_t header_bytes,
                                               const std::filesystem::path& path);

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_
