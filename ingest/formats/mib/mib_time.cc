#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ingest/formats/mib/mib_frame_header.h"

namespace penstock::ingest {

namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// Exactly `digits` decimal digits at the front of `text`, which are removed.
std::optional<int> TakeDigits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool TakeCharacter(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// ".835428351" (1 to 9 digits) or nothing, to nanoseconds.
std::optional<int64_t> TakeFraction(std::string_view& text) {
  if (!TakeCharacter(text, '.')) return 0;
  int64_t value = 0;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    if (digits == 9) return std::nullopt;
    value = value * 10 + (text[digits] - '0');
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  for (size_t i = digits; i < 9; ++i) value *= 10;
  return value;
}

// "hh:mm:ss.fraction"; what follows stays in `text`.
std::optional<int64_t> TakeTimeOfDay(std::string_view& text) {
  const auto hour = TakeDigits(text, 2);
  if (!hour || !TakeCharacter(text, ':')) return std::nullopt;
  const auto minute = TakeDigits(text, 2);
  if (!minute || !TakeCharacter(text, ':')) return std::nullopt;
  const auto second = TakeDigits(text, 2);
  if (!second) return std::nullopt;
  const auto fraction = TakeFraction(text);
  if (!fraction || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return (*hour * int64_t{3600} + *minute * 60 + *second) * kNanosecondsPerSecond + *fraction;
}

std::optional<int64_t> DateToNanoseconds(int year, int month, int day) {
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || year < 1970 || year > 2200) return std::nullopt;  // 2262 leaves int64
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * int64_t{86400} * kNanosecondsPerSecond;
}

// "YYYY-MM-DD"
std::optional<int64_t> TakeIsoDate(std::string_view& text) {
  const auto year = TakeDigits(text, 4);
  if (!year || !TakeCharacter(text, '-')) return std::nullopt;
  const auto month = TakeDigits(text, 2);
  if (!month || !TakeCharacter(text, '-')) return std::nullopt;
  const auto day = TakeDigits(text, 2);
  if (!day) return std::nullopt;
  return DateToNanoseconds(*year, *month, *day);
}

// "DD/MM/YYYY"
std::optional<int64_t> TakeDayFirstDate(std::string_view& text) {
  const auto day = TakeDigits(text, 2);
  if (!day || !TakeCharacter(text, '/')) return std::nullopt;
  const auto month = TakeDigits(text, 2);
  if (!month || !TakeCharacter(text, '/')) return std::nullopt;
  const auto year = TakeDigits(text, 4);
  if (!year) return std::nullopt;
  return DateToNanoseconds(*year, *month, *day);
}

}  // namespace

std::optional<int64_t> ParseMibUtcTime(std::string_view text) {
  const auto date = TakeIsoDate(text);
  if (!date || !TakeCharacter(text, 'T')) return std::nullopt;
  const auto time = TakeTimeOfDay(text);
  if (!time || text != "Z") return std::nullopt;
  return *date + *time;
}

std::optional<int64_t> ParseMibLocalTime(std::string_view text) {
  const bool day_first = text.size() > 2 && text[2] == '/';
  const auto date = day_first ? TakeDayFirstDate(text) : TakeIsoDate(text);
  if (!date || !TakeCharacter(text, ' ')) return std::nullopt;
  const auto time = TakeTimeOfDay(text);
  if (!time || !text.empty()) return std::nullopt;
  return *date + *time;
}

}  // namespace penstock::ingest
