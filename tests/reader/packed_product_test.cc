// Products of masks with packed pixels, on every instruction set, against a plain loop over the
// pixels before they were packed.

#include "reader/kernels/packed_product.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {
namespace {

constexpr int16_t kMost = 32767;

// Two pixels in three bytes, low bits first.
std::vector<std::byte> Packed(const std::vector<uint16_t>& pixels) {
  std::vector<std::byte> bytes;
  for (size_t p = 0; p < pixels.size(); p += 2) {
    const uint32_t pair = pixels[p] | static_cast<uint32_t>(pixels[p + 1]) << 12;
    for (int shift = 0; shift < 24; shift += 8) {
      bytes.push_back(static_cast<std::byte>(pair >> shift & 255));
    }
  }
  return bytes;
}

// Bytes that end with a page behind which nothing may be read.
class GuardedBytes {
 public:
  explicit GuardedBytes(const std::vector<std::byte>& bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes.size() + page - 1) / page * page + page;
    address_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(address_, MAP_FAILED);
    auto* const end = static_cast<std::byte*>(address_) + size_ - page;
    first_ = end - bytes.size();
    std::ranges::copy(bytes, first_);
    EXPECT_EQ(mprotect(end, page, PROT_NONE), 0);
  }
  ~GuardedBytes() { munmap(address_, size_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  const std::byte* data() const { return first_; }

 private:
  void* address_;
  size_t size_;
  std::byte* first_;
};

struct RandomRun {
  std::vector<std::vector<uint16_t>> pixels;
  std::vector<std::unique_ptr<GuardedBytes>> bytes;
  std::vector<const std::byte*> frames;

  RandomRun(size_t frame_count, size_t pixel_count) {
    std::mt19937 random(5);
    for (size_t f = 0; f < frame_count; ++f) {
      std::vector<uint16_t>& frame = pixels.emplace_back(pixel_count);
      // Mostly the largest: where sums overflow, they do.
      for (uint16_t& pixel : frame) pixel = random() % 4 == 0 ? random() % 4096 : 4095;
      bytes.push_back(std::make_unique<GuardedBytes>(Packed(frame)));
      frames.push_back(bytes.back()->data());
    }
  }
};

class PackedProductTest : public testing::TestWithParam<std::string> {
 protected:
  PackedProductTest() { UseTarget(GetParam()); }
  ~PackedProductTest() override { UseTarget(""); }

  // Chunks of up to `chunk_pixels` over the run, each with some of `mask_count` masks.
  static void Check(size_t frame_count, size_t pixel_count, size_t chunk_pixels, size_t mask_count,
                    int16_t maximum_weight) {
    SCOPED_TRACE(testing::Message()
                 << frame_count << " frames, " << pixel_count << " pixels, chunks of "
                 << chunk_pixels << ", " << mask_count << " masks up to " << maximum_weight);
    const RandomRun run(frame_count, pixel_count);
    std::mt19937 random(9);
    std::deque<std::vector<int16_t>> values;
    std::deque<std::vector<uint16_t>> masks;
    std::vector<MaskChunk> chunks;
    const bool binary = maximum_weight == 1 && mask_count % 2 == 0;
    const MaskForm form = BestMaskForm(maximum_weight, binary);
    std::deque<std::vector<uint32_t>> bits;
    std::vector<int64_t> odd_sums(PackedMasks::kMost);
    const size_t stride = mask_count + 3;
    std::vector<int64_t> expected(frame_count * stride, 7);
    std::vector<int64_t> totals = expected;
    for (size_t first = 0; first < pixel_count; first += chunk_pixels) {
      const size_t pixels = std::min(chunk_pixels, pixel_count - first);
      std::vector<uint16_t>& numbers = masks.emplace_back();
      const size_t wanted = chunks.empty() ? mask_count : random() % (mask_count + 1);
      for (size_t k = 0; k < mask_count; ++k) {
        if (random() % mask_count < wanted) numbers.push_back(static_cast<uint16_t>(k));
      }
      std::vector<int16_t>& weights = values.emplace_back(numbers.size() * pixels);
      for (int16_t& weight : weights) {
        weight =
            random() % 4 == 0 ? static_cast<int16_t>(random() % maximum_weight) : maximum_weight;
        if (binary) weight = static_cast<int16_t>(random() % 3 > 0 ? 1 : 0);
        if (!binary && random() % 8 == 0) weight = static_cast<int16_t>(-weight);
      }
      const std::vector<int16_t> plain = weights;
      for (size_t i = 0; i < weights.size(); ++i) {
        const size_t p = i % pixels;  // even, as chunks begin with an even pixel
        if (p % 2 == 1) odd_sums[numbers[i / pixels]] += weights[i];
        if (p % 2 == 0 && form == MaskForm::kScaled) {
          weights[i] = static_cast<int16_t>(weights[i] * kEvenScale);
        }
      }
      MaskChunk& chunk = chunks.emplace_back();
      chunk.first_pixel = first;
      chunk.pixels = pixels;
      chunk.masks = numbers.data();
      chunk.mask_count = numbers.size();
      if (form == MaskForm::kBits) {
        std::vector<uint32_t>& words = bits.emplace_back(numbers.size() * chunk.words_of_bits());
        for (size_t i = 0; i < weights.size(); ++i) {
          words[i / pixels * chunk.words_of_bits() + i % pixels / 32] |=
              static_cast<uint32_t>(weights[i]) << (i % pixels % 32);
        }
        chunk.bits = words.data();
      } else {
        chunk.values = weights.data();
      }
      for (size_t f = 0; f < frame_count; ++f) {
        for (size_t k = 0; k < numbers.size(); ++k) {
          for (size_t p = 0; p < pixels; ++p) {
            expected[f * stride + numbers[k]] +=
                int64_t{run.pixels[f][first + p]} * plain[k * pixels + p];
          }
        }
      }
    }
    const PackedMasks stack = {maximum_weight, form, odd_sums.data()};
    // As one run, and cut between two chunks.
    std::vector<std::vector<PackedRun>> cuts = {{{run.frames.data(), pixel_count, chunks}}};
    const size_t cut = chunks.size() / 2 * chunk_pixels;
    std::vector<const std::byte*> rest;
    for (const std::byte* const frame : run.frames) rest.push_back(frame + cut / 2 * 3);
    std::vector<MaskChunk> of_rest(chunks.begin() + static_cast<ptrdiff_t>(chunks.size() / 2),
                                   chunks.end());
    for (MaskChunk& chunk : of_rest) chunk.first_pixel -= cut;
    cuts.push_back({{run.frames.data(), cut, std::span(chunks).first(chunks.size() / 2)},
                    {rest.data(), pixel_count - cut, of_rest}});
    for (const std::vector<PackedRun>& runs : cuts) {
      std::ranges::fill(totals, 7);
      PackedMaskProduct(runs, frame_count, stack, totals.data(), stride);
      EXPECT_EQ(totals, expected);
    }
    std::ranges::fill(totals, 7);
    scalar::PackedMaskProduct(cuts.back(), frame_count, stack, totals.data(), stride);
    EXPECT_EQ(totals, expected);
  }
};

TEST_P(PackedProductTest, EqualsAPlainLoop) {
  for (const size_t frames : {1, 3, 4, 8, 13}) {
    for (const size_t masks : {1, 2, 3, 4, 5, 9, 64}) Check(frames, 1860, 480, masks, 3);
    for (const size_t masks : {1, 2, 4, 6, 64}) Check(frames, 1860, 480, masks, 1);
  }
}

TEST_P(PackedProductTest, RunsAndChunksMayEndAnywhere) {
  for (const size_t pixels : {2, 6, 30, 32, 34, 62, 64, 130, 512, 1022}) {
    for (const size_t chunk : {2, 46, 480, 512}) {
      Check(5, pixels, chunk, 2, 1);
      Check(5, pixels, chunk, 6, 1);
    }
  }
}

TEST_P(PackedProductTest, NoSumOverflows) {
  Check(9, 14880, 480, 3, kMost);
  Check(9, 14880, 480, 9, kMost);
  Check(2, 14880, 480, 2, 1024);
  Check(6, 14880, 480, 6, 64);
  Check(6, 14880, 480, 6, 65);
  Check(4, size_t{1} << 20, 512, 1, 1);
}

TEST_P(PackedProductTest, NothingToDo) {
  const RandomRun run(3, 64);
  std::vector<int64_t> totals(3, 5);
  PackedMaskProduct({}, 3, {}, totals.data(), 1);
  const PackedRun without_masks = {run.frames.data(), 64, {}};
  PackedMaskProduct({&without_masks, 1}, 3, {}, totals.data(), 1);
  PackedMaskProduct({&without_masks, 1}, 0, {}, totals.data(), 1);
  EXPECT_EQ(totals, std::vector<int64_t>(3, 5));
}

INSTANTIATE_TEST_SUITE_P(Targets, PackedProductTest, testing::ValuesIn(AvailableTargets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace penstock::kernels
