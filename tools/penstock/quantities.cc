#include "tools/penstock/quantities.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace penstock::tools {

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<std::string_view, 6> kUnits = {"B",   "KiB", "MiB",
                                                             "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double amount = static_cast<double>(bytes);
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", amount, amount < 10 ? 2 : (amount < 100 ? 1 : 0), kUnits[unit]);
}

std::string FormatRate(uint64_t bytes, double seconds) {
  if (seconds <= 0) return "-";
  return FormatBytes(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)) + "/s";
}

std::string FormatDuration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(std::min(seconds, 1e15)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

Result<uint64_t> ParseBytes(std::string_view text) {
  const auto refuse = [text] {
    return Error::InvalidArgument(fmt::format("'{}' is not an amount of bytes", text))
        .Expected("a number with an optional K, M, G or T (powers of 1024), such as 256M");
  };
  uint64_t number = 0;
  const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc()) return refuse();
  std::string_view unit(rest, static_cast<size_t>(text.data() + text.size() - rest));
  int shift = 0;
  if (!unit.empty()) {
    static constexpr std::string_view kPrefixes = "KMGT";
    const size_t prefix = kPrefixes.find(static_cast<char>(unit[0] & ~0x20));
    if (prefix != std::string_view::npos) {
      shift = 10 * (static_cast<int>(prefix) + 1);
      unit.remove_prefix(1);
      if (unit == "iB") unit = {};
    }
    if (!unit.empty() && unit != "B") return refuse();
  }
  if (number > std::numeric_limits<uint64_t>::max() >> shift) return refuse();
  return number << shift;
}

Result<std::chrono::seconds> ParseDuration(std::string_view text) {
  const auto refuse = [text] {
    return Error::InvalidArgument(fmt::format("'{}' is not a duration", text))
        .Expected("a number with s, m, h, d or w, such as 12h or 7d");
  };
  static constexpr std::array<std::pair<char, int64_t>, 5> kUnits = {
      {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}}};
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, problem] = std::from_chars(text.data(), end, number);
  if (problem != std::errc() || number < 0 || end - rest > 1) return refuse();
  if (rest == end) return std::chrono::seconds(number);
  for (const auto& [letter, seconds] : kUnits) {
    if (*rest != letter) continue;
    if (number > std::numeric_limits<int32_t>::max()) return refuse();
    return std::chrono::seconds(number * seconds);
  }
  return refuse();
}

Result<std::pair<int64_t, int64_t>> ParseRange(std::string_view text) {
  const auto refuse = [text] {
    return Error::InvalidArgument(fmt::format("'{}' is not a range", text))
        .Expected("FIRST-LAST or one number, such as 0-15");
  };
  const char* const end = text.data() + text.size();
  std::pair<int64_t, int64_t> range;
  const auto first = std::from_chars(text.data(), end, range.first);
  if (first.ec != std::errc() || range.first < 0) return refuse();
  range.second = range.first;
  if (first.ptr == end) return range;
  if (*first.ptr != '-') return refuse();
  const auto last = std::from_chars(first.ptr + 1, end, range.second);
  if (last.ec != std::errc() || last.ptr != end || range.second < range.first) return refuse();
  return range;
}

Result<std::pair<int64_t, int64_t>> ParsePair(std::string_view text) {
  const auto refuse = [text] {
    return Error::InvalidArgument(fmt::format("'{}' is not a shape", text))
        .Expected("two numbers, slow axis first, such as 256,128");
  };
  const char* const end = text.data() + text.size();
  std::pair<int64_t, int64_t> shape;
  const auto first = std::from_chars(text.data(), end, shape.first);
  if (first.ec != std::errc() || first.ptr == end || (*first.ptr != ',' && *first.ptr != 'x')) {
    return refuse();
  }
  const auto second = std::from_chars(first.ptr + 1, end, shape.second);
  if (second.ec != std::errc() || second.ptr != end || shape.first < 1 || shape.second < 1) {
    return refuse();
  }
  return shape;
}

}  // namespace penstock::tools
