// What the formats of fixed records share besides pixels: numbers out of bytes, texts for the
// sidecar, anomalies.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "penstock/dataset/description.h"

namespace penstock::ingest::records {

static_assert(std::endian::native == std::endian::little,
              "little-endian files are read without conversion");

// Precondition: bytes.size() >= offset + sizeof(T).
template <typename T>
T LoadLittle(std::span<const std::byte> bytes, size_t offset) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
T LoadBig(std::span<const std::byte> bytes, size_t offset) {
  static_assert(std::is_arithmetic_v<T>);
  std::byte reversed[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) reversed[i] = bytes[offset + sizeof(T) - 1 - i];
  T value;
  std::memcpy(&value, reversed, sizeof(T));
  return value;
}

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

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_TEXT_H_
