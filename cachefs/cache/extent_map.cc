#include "cachefs/cache/extent_map.h"

#include <bit>

namespace penstock::cachefs {

namespace {

constexpr char kDigits[] = "0123456789abcdef";

int DigitValue(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

void ExtentMap::Set(int64_t extent, ExtentState state) {
  ExtentState& current = states_[static_cast<size_t>(extent)];
  if (current == ExtentState::kPresent) --present_;
  if (state == ExtentState::kPresent) ++present_;
  if (current == ExtentState::kFetching) --fetching_;
  if (state == ExtentState::kFetching) ++fetching_;
  current = state;
}

std::optional<int64_t> ExtentMap::NextMissing(int64_t from) const {
  for (int64_t extent = from; extent < size(); ++extent) {
    const ExtentState state = Get(extent);
    if (state == ExtentState::kAbsent || state == ExtentState::kUnverified) return extent;
  }
  return std::nullopt;
}

std::string ExtentMap::ToHex() const {
  std::string digits((states_.size() + 3) / 4, '0');
  for (size_t group = 0; group < digits.size(); ++group) {
    int value = 0;
    for (size_t bit = 0; bit < 4; ++bit) {
      const size_t extent = group * 4 + bit;
      if (extent < states_.size() && states_[extent] == ExtentState::kPresent) value |= 1 << bit;
    }
    digits[group] = kDigits[value];
  }
  return digits;
}

bool ExtentMap::FromHex(std::string_view digits) {
  if (digits.size() != (states_.size() + 3) / 4) return false;
  std::vector<bool> present(digits.size() * 4);
  for (size_t group = 0; group < digits.size(); ++group) {
    const int value = DigitValue(digits[group]);
    if (value < 0) return false;
    for (size_t bit = 0; bit < 4; ++bit) present[group * 4 + bit] = (value >> bit & 1) != 0;
  }
  for (size_t extent = states_.size(); extent < present.size(); ++extent) {
    if (present[extent]) return false;
  }
  for (size_t extent = 0; extent < states_.size(); ++extent) {
    Set(static_cast<int64_t>(extent),
        present[extent] ? ExtentState::kPresent : ExtentState::kAbsent);
  }
  return true;
}

int64_t ExtentMap::CountPresent(std::string_view digits) {
  int64_t present = 0;
  for (const char digit : digits) {
    const int value = DigitValue(digit);
    if (value > 0) present += std::popcount(static_cast<unsigned>(value));
  }
  return present;
}

}  // namespace penstock::cachefs
