// Each SIMD kernel against its scalar twin, on every instruction set of this machine, and both
// against the worked examples of the format descriptions.

#include "ingest/unpack/unpack.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ingest/unpack/unpack_scalar.h"

namespace penstock::ingest {
namespace {

using Bytes = std::vector<std::byte>;

Bytes RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator());
  return bytes;
}

Bytes FromHex(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

template <typename T>
std::vector<T> As(const Bytes& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// Runs `test` once for every instruction set that was compiled and that this machine has.
void OnEveryTarget(const std::function<void()>& test) {
  const int64_t supported = hwy::SupportedTargets();
  int tested = 0;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    test();
    ++tested;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(supported);
  EXPECT_GE(tested, 1);
}

constexpr std::byte kGuard{0xA5};

using Flat = void (*)(const std::byte*, std::byte*, size_t);

void ComparesWithTwin(Flat kernel, Flat twin, size_t bytes_per_pixel,
                      const std::function<size_t(size_t)>& source_bytes) {
  OnEveryTarget([&] {
    for (const size_t pixels : {0,  1,  2,  3,  5,   7,   8,   15,  16,  17,   31,
                                33, 63, 64, 65, 127, 129, 255, 256, 257, 1000, 1023}) {
      for (const size_t shift : {0, 1, 3}) {
        // The source ends exactly where the pixels end, so that a sanitizer sees a read beyond.
        const Bytes random = RandomBytes(source_bytes(pixels) + shift, 7 + pixels);
        Bytes got(shift + pixels * bytes_per_pixel + 64, kGuard);
        Bytes want = got;
        kernel(random.data() + shift, got.data() + shift, pixels);
        twin(random.data() + shift, want.data() + shift, pixels);
        ASSERT_EQ(got, want) << pixels << " pixels, shifted by " << shift;
      }
    }
  });
}

TEST(Unpack, Uint4OfEveryTarget) {
  ComparesWithTwin(UnpackUint4, scalar::UnpackUint4, 1,
                   [](size_t pixels) { return (pixels + 1) / 2; });
  const Bytes packed = FromHex({0x21, 0x43, 0xF5});
  Bytes got(5);
  UnpackUint4(packed.data(), got.data(), 5);
  EXPECT_EQ(got, FromHex({1, 2, 3, 4, 5}));
}

TEST(Unpack, Float16OfEveryTarget) {
  for (const bool big_endian : {false, true}) {
    Bytes halves;  // every value that there is
    for (unsigned i = 0; i < 65536; ++i) {
      halves.push_back(static_cast<std::byte>(big_endian ? i >> 8 : i));
      halves.push_back(static_cast<std::byte>(big_endian ? i : i >> 8));
    }
    Bytes want(size_t{65536} * 4);
    scalar::WidenFloat16(halves.data(), want.data(), 65536, big_endian);
    OnEveryTarget([&] {
      Bytes got(want.size());
      WidenFloat16(halves.data(), got.data(), 65536, big_endian);
      ASSERT_EQ(got, want);
      Bytes few(size_t{13} * 4);
      WidenFloat16(halves.data() + 2, few.data(), 13, big_endian);
      ASSERT_TRUE(std::equal(few.begin(), few.end(), want.begin() + 4));
    });
    const auto values = As<float>(want);
    EXPECT_EQ(values[0x3C00], 1.0F);
    EXPECT_EQ(values[0xC000], -2.0F);
    EXPECT_EQ(values[0x7BFF], 65504.0F);
    EXPECT_EQ(values[0x0001], 5.9604644775390625e-8F);
    EXPECT_EQ(values[0x0400], 6.103515625e-05F);
    EXPECT_EQ(values[0x7C00], std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(values[0x7E00]));
    EXPECT_TRUE(std::signbit(values[0x8000]));
  }
}

TEST(Unpack, SwapBytes16EqualsItsTwin) {
  ComparesWithTwin(SwapBytes16, scalar::SwapBytes16, 2, [](size_t n) { return 2 * n; });
}

TEST(Unpack, SwapBytes32EqualsItsTwin) {
  ComparesWithTwin(SwapBytes32, scalar::SwapBytes32, 4, [](size_t n) { return 4 * n; });
}

TEST(Unpack, Uint12EqualsItsTwin) {
  ComparesWithTwin(UnpackUint12, scalar::UnpackUint12, 2, [](size_t n) { return (3 * n + 1) / 2; });
}

TEST(Unpack, Uint12BlocksEqualTheirTwin) {
  OnEveryTarget([] {
    for (const size_t count : {0, 1, 2, 3, 16}) {
      for (const size_t rows : {0, 1, 2, 7}) {
        std::vector<Bytes> packed;  // each ends where its pixels end
        std::vector<const std::byte*> blocks;
        for (size_t i = 0; i < count; ++i) packed.push_back(RandomBytes(24 * rows + i % 3, 9 + i));
        for (size_t i = 0; i < count; ++i) blocks.push_back(packed[i].data() + i % 3);
        const size_t stride = 32 * count + 5;
        Bytes got(stride * (rows + 1) + 1, kGuard);
        Bytes want = got;
        Uint12Blocks job{.blocks = blocks.data(),
                         .block_count = count,
                         .row_count = rows,
                         .destination = got.data() + 1,
                         .destination_stride = stride};
        UnpackUint12Blocks(job);
        job.destination = want.data() + 1;
        scalar::UnpackUint12Blocks(job);
        ASSERT_EQ(got, want) << count << " blocks of " << rows << " rows";
      }
    }
  });
}

TEST(Unpack, SwapsBytes) {
  const Bytes source = FromHex({0x01, 0x02, 0x03, 0x04});
  Bytes out(4);
  SwapBytes16(source.data(), out.data(), 2);
  EXPECT_EQ(As<uint16_t>(out), (std::vector<uint16_t>{0x0102, 0x0304}));
  SwapBytes32(source.data(), out.data(), 1);
  EXPECT_EQ(As<uint32_t>(out), (std::vector<uint32_t>{0x01020304}));
}

TEST(Unpack, Uint12WorkedExamples) {
  const Bytes source = FromHex({0x12, 0x34, 0x56, 0xff, 0x0f, 0x00, 0x00, 0xf0, 0xff});
  const std::vector<uint16_t> want = {0x412, 0x563, 0xfff, 0x000, 0x000, 0xfff};
  Bytes out(12);
  UnpackUint12(source.data(), out.data(), 6);
  EXPECT_EQ(As<uint16_t>(out), want);
  scalar::UnpackUint12(source.data(), out.data(), 6);
  EXPECT_EQ(As<uint16_t>(out), want);
}

using Depth = void (*)(std::span<const PixelRows>);

void Unpack(Depth kernel, const PixelRows& rows) { kernel(std::span(&rows, 1)); }

struct RawKernel {
  const char* name;
  Depth kernel;
  Depth twin;
  size_t word_pixels;
  size_t bytes_per_pixel;
};

class UnpackR64 : public testing::TestWithParam<RawKernel> {};

TEST_P(UnpackR64, EqualsItsTwinOnRowsOfAnyLength) {
  const RawKernel& raw = GetParam();
  OnEveryTarget([&] {
    for (const PixelOrder order : {PixelOrder::kForward, PixelOrder::kReversed}) {
      for (const size_t words : {1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 100}) {
        for (const size_t shift : {0, 1, 5}) {
          constexpr size_t kRows = 3;
          const size_t pixels = words * raw.word_pixels;
          const size_t row_bytes = words * 8;
          const size_t out_bytes = pixels * raw.bytes_per_pixel;
          const Bytes source = RandomBytes(shift + kRows * row_bytes, 11 + words);
          Bytes got(shift + kRows * out_bytes + 64, kGuard);
          Bytes want = got;
          PixelRows rows{.source = source.data() + shift,
                         .source_stride = row_bytes,
                         .destination = got.data() + shift + (kRows - 1) * out_bytes,
                         .destination_stride = -static_cast<ptrdiff_t>(out_bytes),
                         .row_count = kRows,
                         .pixels_per_row = pixels,
                         .order = order};
          Unpack(raw.kernel, rows);
          rows.destination = want.data() + shift + (kRows - 1) * out_bytes;
          Unpack(raw.twin, rows);
          ASSERT_EQ(got, want) << words << " words, shifted by " << shift;
        }
      }
    }
  });
}

TEST_P(UnpackR64, ReversedRowsMirrorForwardRows) {
  const RawKernel& raw = GetParam();
  const size_t pixels = 4 * raw.word_pixels;
  const Bytes source = RandomBytes(32, 5);
  Bytes forward(pixels * raw.bytes_per_pixel);
  Bytes reversed(forward.size());
  PixelRows rows{.source = source.data(),
                 .source_stride = 0,
                 .destination = forward.data(),
                 .destination_stride = 0,
                 .row_count = 1,
                 .pixels_per_row = pixels};
  Unpack(raw.kernel, rows);
  rows.destination = reversed.data();
  rows.order = PixelOrder::kReversed;
  Unpack(raw.kernel, rows);
  for (size_t i = 0; i < pixels; ++i) {
    ASSERT_EQ(std::memcmp(&forward[i * raw.bytes_per_pixel],
                          &reversed[(pixels - 1 - i) * raw.bytes_per_pixel], raw.bytes_per_pixel),
              0)
        << "pixel " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Depths, UnpackR64,
    testing::Values(RawKernel{"1", UnpackR64Depth1, scalar::UnpackR64Depth1, 64, 1},
                    RawKernel{"6", UnpackR64Depth6, scalar::UnpackR64Depth6, 8, 1},
                    RawKernel{"12", UnpackR64Depth12, scalar::UnpackR64Depth12, 4, 2}),
    [](const auto& info) { return std::string("Depth") + info.param.name; });

TEST(UnpackR64Depth24, EqualsItsTwinOnRowsOfAnyLength) {
  OnEveryTarget([] {
    for (const PixelOrder order : {PixelOrder::kForward, PixelOrder::kReversed}) {
      for (const size_t words : {1, 2, 3, 4, 7, 8, 9, 16, 31, 64, 65}) {
        constexpr size_t kRows = 2;
        const size_t row_bytes = words * 8;
        const Bytes upper = RandomBytes(kRows * row_bytes + 1, 3 + words);
        const Bytes lower = RandomBytes(kRows * row_bytes + 1, 4 + words);
        Bytes got(kRows * words * 16 + 64, kGuard);
        Bytes want = got;
        PixelRows rows{.source = upper.data() + 1,
                       .source_stride = row_bytes,
                       .destination = got.data(),
                       .destination_stride = static_cast<ptrdiff_t>(words * 16),
                       .row_count = kRows,
                       .pixels_per_row = words * 4,
                       .order = order,
                       .lower_source = lower.data() + 1};
        Unpack(UnpackR64Depth24, rows);
        rows.destination = want.data();
        Unpack(scalar::UnpackR64Depth24, rows);
        ASSERT_EQ(got, want) << words << " words";
      }
    }
  });
}

TEST(UnpackR64Chips, OfAFrameAreUnpackedTogether) {
  constexpr size_t kRows = 5;
  constexpr size_t kRowBytes = 512;
  const Bytes source = RandomBytes(kRows * 4 * kRowBytes, 17);
  Bytes got(source.size());
  Bytes want(source.size());
  const auto chips_into = [&](Bytes& image) {
    std::vector<PixelRows> chips;
    for (size_t chip = 0; chip < 4; ++chip) {
      chips.push_back({.source = source.data() + chip * kRowBytes,
                       .source_stride = 4 * kRowBytes,
                       .destination = image.data() + chip * kRows * kRowBytes,
                       .destination_stride = kRowBytes,
                       .row_count = kRows,
                       .pixels_per_row = kRowBytes / 2,
                       .order = chip % 2 == 0 ? PixelOrder::kForward : PixelOrder::kReversed});
    }
    return chips;
  };
  OnEveryTarget([&] {
    UnpackR64Depth12(chips_into(got));
    for (const PixelRows& chip : chips_into(want)) Unpack(scalar::UnpackR64Depth12, chip);
    ASSERT_EQ(got, want);
  });
}

// One row of one word group through both implementations.
template <typename T>
void ExpectExample(Depth kernel, Depth twin, const Bytes& source, const std::vector<T>& want) {
  for (const Depth function : {kernel, twin}) {
    Bytes out(want.size() * sizeof(T));
    Unpack(function, {.source = source.data(),
                      .source_stride = 0,
                      .destination = out.data(),
                      .destination_stride = 0,
                      .row_count = 1,
                      .pixels_per_row = want.size()});
    EXPECT_EQ(As<T>(out), want);
  }
}

TEST(UnpackR64Depth1, WorkedExample) {
  std::vector<uint8_t> want(64);
  want[1] = want[3] = want[56] = 1;
  ExpectExample(UnpackR64Depth1, scalar::UnpackR64Depth1, FromHex({0x01, 0, 0, 0, 0, 0, 0, 0x0a}),
                want);
}

TEST(UnpackR64Depth6, WorkedExample) {
  ExpectExample<uint8_t>(UnpackR64Depth6, scalar::UnpackR64Depth6,
                         FromHex({1, 2, 3, 4, 5, 6, 7, 8}), {8, 7, 6, 5, 4, 3, 2, 1});
}

TEST(UnpackR64Depth12, WorkedExample) {
  ExpectExample<uint16_t>(UnpackR64Depth12, scalar::UnpackR64Depth12,
                          FromHex({0x00, 0x01, 0x00, 0x02, 0x00, 0x03, 0x0f, 0xff}),
                          {0xfff, 0x003, 0x002, 0x001});
}

TEST(UnpackR64Depth24, WorkedExample) {
  const Bytes upper = FromHex({0x00, 0x01, 0x00, 0x02, 0x00, 0x03, 0x00, 0x04});
  const Bytes lower = FromHex({0x0a, 0xbc, 0x00, 0x00, 0x00, 0x01, 0x0f, 0xff});
  const std::vector<uint32_t> want = {0x004fff, 0x003001, 0x002000, 0x001abc};
  for (const auto function : {UnpackR64Depth24, scalar::UnpackR64Depth24}) {
    Bytes out(16);
    Unpack(function, {.source = upper.data(),
                      .source_stride = 0,
                      .destination = out.data(),
                      .destination_stride = 0,
                      .row_count = 1,
                      .pixels_per_row = 4,
                      .order = PixelOrder::kForward,
                      .lower_source = lower.data()});
    EXPECT_EQ(As<uint32_t>(out), want);
  }
}

}  // namespace
}  // namespace penstock::ingest
