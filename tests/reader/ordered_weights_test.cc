// Weights of masks in another order of pixels, against plain loops.

#include "reader/operations/ordered_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "penstock/reader/mask.h"

namespace penstock {
namespace {

constexpr size_t kRows = 60;
constexpr size_t kColumns = 80;

Mask NumberedMask(double step) {
  Mask mask;
  mask.shape = {kRows, kColumns};
  for (size_t p = 0; p < kRows * kColumns; ++p) {
    mask.weights.push_back(step * (static_cast<double>(p % 30011) - 1000));
  }
  return mask;
}

// Columns of blocks of 16 x 60 pixels, and behind them some pixels in no order: two of them swapped
// in the middle of a row.
std::vector<uint32_t> BlockOrder() {
  std::vector<uint32_t> order;
  for (uint32_t block = 0; block < kColumns / 16; ++block) {
    for (uint32_t row = 0; row < kRows; ++row) {
      for (uint32_t column = 0; column < 16; ++column) {
        order.push_back(row * kColumns + block * 16 + column);
      }
    }
  }
  std::swap(order[16 * 7 + 3], order[16 * 7 + 4]);
  std::shuffle(order.end() - 203, order.end(), std::mt19937(7));
  return order;
}

TEST(OrderedWeights, AreThoseOfThePixelsFromAnyPlaceOn) {
  const Mask mask = NumberedMask(1);
  const std::vector<uint32_t> order = BlockOrder();
  const OrderedWeights weights(mask, order, nullptr);
  for (const size_t first : {size_t{0}, size_t{5}, size_t{480}, order.size() - 250}) {
    for (const size_t count : {size_t{1}, size_t{15}, size_t{16}, size_t{249}, size_t{250}}) {
      std::vector<int16_t> values(count);
      weights.Copy(first, std::span(values));
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(values[i], static_cast<int16_t>(mask.weights[order[first + i]]))
            << first << " + " << i;
      }
    }
  }
}

TEST(OrderedWeights, PixelsThatAreNotGoodCountAsZero) {
  Mask mask = NumberedMask(0);
  std::ranges::fill(mask.weights, 1.0);
  const std::vector<uint32_t> order = BlockOrder();
  std::vector<uint8_t> good(order.size(), 1);
  good[18 * kColumns + 5] = 0;
  good[59 * kColumns + 79] = 0;
  std::vector<uint8_t> values(order.size());
  OrderedWeights(mask, order, &good).Copy(0, std::span(values));
  for (size_t i = 0; i < order.size(); ++i) ASSERT_EQ(values[i], good[order[i]]) << i;
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), size_t{0}), order.size() - 2);
}

TEST(OrderedWeights, BitsHaveLowOnesFirst) {
  std::mt19937 random(11);
  std::vector<uint8_t> values(480);
  std::ranges::generate(values, [&random] { return random() & 1; });
  std::vector<uint32_t> words(values.size() / 32);
  PackBits(values, words.data());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(words[i / 32] >> (i % 32) & 1, values[i]) << i;
  }
}

}  // namespace
}  // namespace penstock
