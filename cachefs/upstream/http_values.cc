#include "cachefs/upstream/http_values.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <limits>

namespace penstock::cachefs {

namespace {

constexpr char kHexDigits[] = "0123456789ABCDEF";

bool IsUnreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string PercentEncode(std::string_view text, bool keep_slashes) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (IsUnreserved(c) || (c == '/' && keep_slashes)) {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.push_back('%');
      encoded.push_back(kHexDigits[byte >> 4]);
      encoded.push_back(kHexDigits[byte & 0xF]);
    }
  }
  return encoded;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexValue(text[i + 1]);
    const int low = HexValue(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < 0 || text[0] == '-') {
    return std::nullopt;
  }
  return static_cast<uint64_t>(value);
}

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto total = ParseDecimal(text.substr(slash + 1));
  if (!total) return std::nullopt;
  ContentRange range{.total = *total};
  const std::string_view part = text.substr(0, slash);
  if (part == "*") return range;
  const size_t dash = part.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = ParseDecimal(part.substr(0, dash));
  const auto last = ParseDecimal(part.substr(dash + 1));
  if (!first || !last || *first > *last || *last >= *total) return std::nullopt;
  range.has_range = true;
  range.first = *first;
  range.last = *last;
  return range;
}

std::optional<int64_t> ParseHttpDate(const std::string& text) {
  std::tm parts{};
  const char* const rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest != nullptr) return static_cast<int64_t>(timegm(&parts));
  const time_t seconds = curl_getdate(text.c_str(), nullptr);
  if (seconds == -1) return std::nullopt;
  return static_cast<int64_t>(seconds);
}

std::optional<std::chrono::milliseconds> ParseRetryAfter(const std::string& text, int64_t now) {
  constexpr uint64_t kLongest = 86'400;
  if (const auto seconds = ParseDecimal(text)) {
    return std::chrono::seconds(std::min(*seconds, kLongest));
  }
  const auto date = ParseHttpDate(text);
  if (!date) return std::nullopt;
  return std::chrono::seconds(std::clamp<int64_t>(*date - now, 0, static_cast<int64_t>(kLongest)));
}

bool IsStrongEtag(std::string_view etag) {
  return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
}

}  // namespace penstock::cachefs
