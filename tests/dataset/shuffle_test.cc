// The kernels of shuffle and bitshuffle against their scalar twins, on every instruction set of
// this machine, and both against the definition.

#include "penstock/dataset/shuffle.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstring>
#include <functional>
#include <random>
#include <vector>

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;

Bytes RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator());
  return bytes;
}

void OnEveryTarget(const std::function<void()>& test) {
  const int64_t supported = hwy::SupportedTargets();
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(supported);
}

// From the definition, bit by bit.
Bytes TransposeBits(const Bytes& elements, size_t count, size_t size) {
  Bytes planes(count * size);
  for (size_t j = 0; j < count; ++j) {
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      const bool set = (std::to_integer<int>(elements[j * size + bit / 8]) >> (bit % 8) & 1) != 0;
      if (set) planes[bit * count / 8 + j / 8] |= std::byte{1} << (j % 8);
    }
  }
  return planes;
}

TEST(Shuffle, BitsOfTheWorkedExample) {
  // 1 2 3 4 5 6 7 0x8000 as uint16.
  Bytes planes(16, std::byte{0});
  planes[0] = std::byte{0x55};
  planes[1] = std::byte{0x66};
  planes[2] = std::byte{0x78};
  planes[15] = std::byte{0x80};
  uint16_t numbers[8];
  Bytes scratch(16);
  UntransposeBits(planes.data(), reinterpret_cast<std::byte*>(numbers), scratch.data(), 8, 2);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(numbers[i], i + 1);
  EXPECT_EQ(numbers[7], 0x8000);
}

TEST(Shuffle, BitsEqualTheDefinitionAndTheTwin) {
  for (const size_t size : {1, 2, 3, 4, 6, 8, 10, 16}) {
    for (const size_t count : {0, 8, 16, 120, 128, 136, 256, 264, 520, 1024, 4096}) {
      const Bytes want = RandomBytes(count * size, 3);
      const Bytes planes = TransposeBits(want, count, size);
      const auto check = [&](auto untranspose) {
        Bytes got(count * size + 64, std::byte{0xA5});
        Bytes scratch(count * size);
        untranspose(planes.data(), got.data(), scratch.data(), count, size);
        for (size_t i = count * size; i < got.size(); ++i) ASSERT_EQ(got[i], std::byte{0xA5});
        got.resize(count * size);
        ASSERT_EQ(got, want) << count << " elements of " << size;
      };
      check(scalar::UntransposeBits);
      OnEveryTarget([&] { check(UntransposeBits); });
    }
  }
}

TEST(Shuffle, BytesEqualTheDefinitionAndTheTwin) {
  for (const size_t size : {1, 2, 3, 4, 8, 12}) {
    for (const size_t count : {0, 1, 15, 16, 17, 31, 63, 64, 65, 127, 130, 1000}) {
      const Bytes want = RandomBytes(count * size, 5);
      Bytes planes(count * size);
      for (size_t j = 0; j < count; ++j) {
        for (size_t b = 0; b < size; ++b) planes[b * count + j] = want[j * size + b];
      }
      const auto check = [&](auto unshuffle) {
        Bytes got(count * size + 64, std::byte{0xA5});
        unshuffle(planes.data(), got.data(), count, size);
        for (size_t i = count * size; i < got.size(); ++i) ASSERT_EQ(got[i], std::byte{0xA5});
        got.resize(count * size);
        ASSERT_EQ(got, want) << count << " elements of " << size;
      };
      check(scalar::UnshuffleBytes);
      OnEveryTarget([&] { check(UnshuffleBytes); });
    }
  }
}

}  // namespace
}  // namespace penstock
