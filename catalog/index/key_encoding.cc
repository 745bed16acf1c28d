#include "catalog/index/key_encoding.h"

#include <bit>
#include <cstdint>

namespace penstock::catalog {

namespace {

constexpr size_t kNumberBytes = 8;

std::string Prefixed(char family, std::string_view rest) {
  return std::string{family, '\0'}.append(rest);
}

}  // namespace

std::string EntryKey(std::string_view path) { return Prefixed('d', path); }
std::string FactsKey(std::string_view path) { return Prefixed('x', path); }
std::string UnreadableKey(std::string_view path) { return Prefixed('u', path); }
std::string PathOfKey(std::string_view key) { return std::string(key.substr(2)); }

std::string EncodeNumber(double number) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  const uint64_t bits = std::bit_cast<uint64_t>(number == 0 ? 0.0 : number);
  // IEEE 754: with the sign flipped positive numbers are ordered as integers; negative ones are
  // ordered the other way round, so all their bits are flipped.
  const uint64_t ordered = (bits & kSign) != 0 ? ~bits : bits | kSign;
  std::string encoded;
  for (int shift = 56; shift >= 0; shift -= 8) encoded += static_cast<char>(ordered >> shift);
  return encoded;
}

std::string FactPrefix(std::string_view fact_path, std::string_view units) {
  std::string prefix = Prefixed('f', fact_path);
  prefix += '\0';
  prefix += units;
  prefix += '\0';
  return prefix;
}

std::string FactKey(std::string_view fact_path, std::string_view units, double number,
                    std::string_view path) {
  return FactPrefix(fact_path, units).append(EncodeNumber(number)).append(path);
}

std::string PathOfFactKey(std::string_view key, std::string_view prefix) {
  return std::string(key.substr(prefix.size() + kNumberBytes));
}

}  // namespace penstock::catalog
