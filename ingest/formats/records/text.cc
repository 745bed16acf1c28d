#include "ingest/formats/records/text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <ctime>

#include "penstock/base/file.h"

namespace penstock::ingest::records {

namespace {

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80                   ? 1
                          : lead >= 0xC2 && lead < 0xE0 ? 2
                          : lead >= 0xE0 && lead < 0xF0 ? 3
                          : lead >= 0xF0 && lead < 0xF5 ? 4
                                                        : 0;
    if (length == 0 || lead == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace

std::string Hexadecimal(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(bytes.size() * 3);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) text += i % 16 == 0 ? '\n' : ' ';
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

std::string Latin1ToUtf8(std::string_view latin1) {
  std::string utf8;
  utf8.reserve(latin1.size());
  for (const char c : latin1) {
    const auto code = static_cast<unsigned char>(c);
    if (code == 0) break;
    if (code < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xC0 | code >> 6);
      utf8 += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return utf8;
}

std::string ToUtf8(std::string_view text) {
  return IsUtf8(text) ? std::string(text) : Latin1ToUtf8(text);
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string Lowercase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::optional<double> ParseNumber(std::string_view text) {
  text = Trim(text);
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size() ||
      !std::isfinite(number)) {
    return std::nullopt;
  }
  return number;
}

std::optional<int64_t> ParseCount(std::string_view text) {
  text = Trim(text);
  int64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size() || count < 0) {
    return std::nullopt;
  }
  return count;
}

std::optional<std::string> UtcText(int64_t unix_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kYear2200 = 7'258'118'400;
  if (unix_ns <= 0 || unix_ns / kSecond >= kYear2200) return std::nullopt;
  const int64_t micros = unix_ns % kSecond / 1000;
  std::string text =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(unix_ns / kSecond)));
  if (micros != 0) text += fmt::format(".{:06}", micros);
  return text + "Z";
}

Anomaly MakeAnomaly(AnomalyKind kind, const std::filesystem::path& file, std::string message,
                    std::optional<uint64_t> offset, std::optional<int64_t> frame) {
  Anomaly anomaly;
  anomaly.kind = kind;
  anomaly.file = file.string();
  anomaly.byte_offset = offset;
  anomaly.frame = frame;
  anomaly.message = std::move(message);
  return anomaly;
}

Result<std::vector<std::byte>> ReadHeaderBytes(int fd, uint64_t file_bytes, uint64_t header_bytes,
                                               const std::filesystem::path& path) {
  if (file_bytes < header_bytes) {
    return Error::Corrupt("the file ends inside its header")
        .In(path.string())
        .Expected(fmt::format("at least {} bytes", header_bytes))
        .Found(fmt::format("{} bytes", file_bytes));
  }
  std::vector<std::byte> bytes(header_bytes);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, 0, bytes, path));
  return bytes;
}

}  // namespace penstock::ingest::records
