#include "reader/operations/ordered_weights.h"

#include <bit>
#include <cstring>

namespace penstock {

namespace {

// Pixels that often lie side by side in the image, too, as the rows of the blocks of K2 IS do: a
// compiler makes vector instructions of what is done to that many.
constexpr size_t kRow = 16;

// Rows lie as far apart as those of the image, which no processor foresees.
constexpr size_t kAhead = 12 * kRow;

bool IsRow(const uint32_t* pixels) {
  uint32_t differences = 0;
  for (uint32_t i = 0; i < kRow; ++i) differences |= pixels[i] ^ (pixels[0] + i);
  return differences == 0;
}

template <typename Value>
Value ToValue(double weight) {
  return static_cast<Value>(static_cast<int32_t>(weight));
}

}  // namespace

template <typename Value>
void OrderedWeights::Copy(size_t first, std::span<Value> values) const {
  const uint32_t* const order = order_.data() + first;
  for (size_t i = 0; i < values.size();) {
    if (i + kRow <= values.size() && IsRow(order + i)) {
      const double* const row = weights_ + order[i];
      Prefetch(first + i + kAhead);
      for (size_t k = 0; k < kRow; ++k) values[i + k] = ToValue<Value>(row[k]);
      i += kRow;
    } else {
      values[i] = ToValue<Value>(weights_[order[i]]);
      ++i;
    }
  }
  if (good_ == nullptr) return;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = good_[order[i]] != 0 ? values[i] : Value{0};
  }
}

void OrderedWeights::Prefetch(size_t place) const {
  if (place >= order_.size()) return;
  const double* const row = weights_ + order_[place];
  __builtin_prefetch(row);
  __builtin_prefetch(row + kRow / 2);
}

template void OrderedWeights::Copy(size_t first, std::span<int16_t> values) const;
template void OrderedWeights::Copy(size_t first, std::span<uint8_t> values) const;

void PackBits(std::span<const uint8_t> values, uint32_t* words) {
  // The product has the lowest bit of byte k in bit 56 + k.
  static_assert(std::endian::native == std::endian::little);
  constexpr uint64_t kGather = 0x0102040810204080;
  for (size_t i = 0; i < values.size(); i += 32, ++words) {
    uint32_t word = 0;
    for (uint32_t byte = 0; byte < 4; ++byte) {
      uint64_t eight;
      std::memcpy(&eight, values.data() + i + 8 * byte, sizeof(eight));
      word |= static_cast<uint32_t>(eight * kGather >> 56) << (8 * byte);
    }
    *words = word;
  }
}

}  // namespace penstock
