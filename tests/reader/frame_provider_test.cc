// Passes over frames that a program provides, whole or in strips, against a plain loop.

#include "penstock/reader/frame_provider.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "penstock/reader/operations.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing_support::SyntheticFrame;
using testing_support::SyntheticOptions;

// Synthetic frames of which some are lost, and some turn out to be unusable when they are read.
class SyntheticProvider final : public FrameProvider {
 public:
  SyntheticProvider(SyntheticOptions options, std::set<int64_t> unusable, int64_t pixel_unit)
      : options_(std::move(options)), unusable_(std::move(unusable)), pixel_unit_(pixel_unit) {
    image_key_.assign(static_cast<size_t>(options_.shape.frame_count()), 0);
    for (const int64_t n : options_.missing) image_key_[static_cast<size_t>(n)] = 3;
  }

  const DatasetShape& shape() const override { return options_.shape; }
  const std::vector<int32_t>& image_key() const override { return image_key_; }
  std::vector<FrameRange> blocks() const override {
    return {{0, 40}, {40, options_.shape.frame_count()}};
  }
  std::string name() const override { return "synthetic.raw"; }
  int64_t pixel_unit() const override { return pixel_unit_; }
  std::unique_ptr<Cursor> MakeCursor() const override {
    return std::make_unique<SyntheticCursor>(*this);
  }

  std::shared_ptr<const std::vector<uint32_t>> pixel_order() const override { return order; }

  int64_t packed_run() const override { return run; }

  std::shared_ptr<const std::vector<uint8_t>> good_pixels() const override { return good; }

  std::shared_ptr<std::vector<uint8_t>> good;
  int64_t broken = -1;  // reading it is an error
  int64_t run = 0;
  bool loses_pages = false;  // what was located turns out not to be the file's
  mutable std::atomic<int> located = 0;
  std::shared_ptr<const std::vector<uint32_t>> order;
  mutable std::atomic<int> read_in_order = 0;

 private:
  class SyntheticCursor final : public Cursor {
   public:
    explicit SyntheticCursor(const SyntheticProvider& provider) : provider_(provider) {}

    Status Read(const Request& request, std::span<std::byte> destination,
                std::span<uint8_t> valid) override {
      const DatasetShape& shape = provider_.shape();
      const size_t element = ElementSize(shape.element_type);
      const size_t stride = static_cast<size_t>(request.pixel_count) * element;
      const auto frames = static_cast<size_t>(request.frames.last - request.frames.first);
      EXPECT_EQ(destination.size(), frames * stride);
      EXPECT_EQ(valid.size(), frames);
      if (provider_.pixel_unit_ == 0) {
        EXPECT_EQ(request.first_pixel, 0);
        EXPECT_EQ(request.pixel_count, shape.signal.pixel_count());
      } else {
        EXPECT_EQ(request.first_pixel % provider_.pixel_unit_, 0);
        EXPECT_EQ(request.first_pixel, next_pixel_);
        next_pixel_ = request.first_pixel + request.pixel_count;
        if (next_pixel_ == shape.signal.pixel_count()) next_pixel_ = 0;
      }
      for (size_t i = 0; i < frames; ++i) {
        const int64_t n = request.frames.first + static_cast<int64_t>(i);
        if (n == provider_.broken) return Error::Corrupt("the frame is broken").AtFrame(n);
        const bool lost = provider_.options_.missing.contains(n);
        EXPECT_EQ(valid[i], request.first_pixel == 0 ? !lost : valid[i]);
        const bool unusable = provider_.unusable_.contains(n);
        if (unusable && request.first_pixel == 0) valid[i] = 0;
        if (lost || unusable) {
          std::memset(destination.data() + i * stride, 0xEE, stride);  // means nothing
          continue;
        }
        const std::vector<std::byte> frame = SyntheticFrame(provider_.options_, n);
        if (!request.in_pixel_order) {
          std::memcpy(destination.data() + i * stride,
                      frame.data() + static_cast<size_t>(request.first_pixel) * element, stride);
          continue;
        }
        ++provider_.read_in_order;
        for (int64_t p = 0; p < request.pixel_count; ++p) {
          const size_t pixel = (*provider_.order)[static_cast<size_t>(request.first_pixel + p)];
          std::memcpy(destination.data() + i * stride + static_cast<size_t>(p) * element,
                      frame.data() + pixel * element, element);
        }
      }
      return Status::Ok();
    }

    Status Take(FrameRange frames, std::span<uint8_t> valid) override {
      EXPECT_EQ(static_cast<int64_t>(valid.size()), frames.last - frames.first);
      for (int64_t n = frames.first; n < frames.last; ++n) {
        const auto i = static_cast<size_t>(n - frames.first);
        if (n == provider_.broken) return Error::Corrupt("the frame is broken").AtFrame(n);
        EXPECT_EQ(valid[i], provider_.options_.missing.contains(n) ? 0 : 1);
        if (provider_.unusable_.contains(n)) valid[i] = 0;
      }
      taken_ = frames;
      packed_.clear();
      return Status::Ok();
    }
    void Locate(FrameRange frames, int64_t run, std::span<const std::byte*> packed) const override {
      EXPECT_GE(frames.first, taken_.first);
      EXPECT_LE(frames.last, taken_.last);
      EXPECT_EQ(static_cast<int64_t>(packed.size()), frames.last - frames.first);
      ++provider_.located;
      const int64_t first = run * provider_.run;
      const int64_t last = std::min(first + provider_.run, provider_.shape().signal.pixel_count());
      for (int64_t n = frames.first; n < frames.last; ++n) {
        std::vector<std::byte>& bytes = packed_.emplace_back();
        for (int64_t p = first; p < last; p += 2) {
          const uint32_t pair = Pixel(n, p) | Pixel(n, p + 1) << 12;
          for (int shift = 0; shift < 24; shift += 8) {
            bytes.push_back(static_cast<std::byte>(pair >> shift & 255));
          }
        }
        packed[static_cast<size_t>(n - frames.first)] = bytes.data();
      }
    }
    Status CheckTaken() const override {
      if (provider_.loses_pages) return Error::Corrupt("the file was cut short");
      return Status::Ok();
    }

   private:
    uint32_t Pixel(int64_t frame, int64_t place) const {
      const auto pixel = static_cast<int64_t>((*provider_.order)[static_cast<size_t>(place)]);
      const int64_t columns = provider_.shape().signal.columns;
      return static_cast<uint32_t>(testing_support::SyntheticNumber(
                 frame, pixel / columns, pixel % columns, ElementType::kUint16)) %
             4096;
    }

    const SyntheticProvider& provider_;
    int64_t next_pixel_ = 0;
    FrameRange taken_;
    mutable std::deque<std::vector<std::byte>> packed_;
  };

  const SyntheticOptions options_;
  const std::set<int64_t> unusable_;
  const int64_t pixel_unit_;
  std::vector<int32_t> image_key_;
};

SyntheticOptions Frames() {
  SyntheticOptions options;
  options.shape = {{9, 11, false}, {24, 32}, ElementType::kUint16};
  options.missing = {0, 23, 98};
  return options;
}

PassOptions Small(int threads, int64_t frame_bytes) {
  PassOptions pass;
  pass.threads = threads;
  pass.tile_frames = 4;
  pass.tile_bytes = 4096;
  pass.partition_bytes = static_cast<size_t>(8 * frame_bytes);
  return pass;
}

class FrameProviderTest : public testing::TestWithParam<std::pair<int, int64_t>> {};

TEST_P(FrameProviderTest, ResultsEqualAPlainLoop) {
  const auto& [threads, pixel_unit] = GetParam();
  const SyntheticOptions options = Frames();
  const std::set<int64_t> unusable = {1, 50, 97};
  const SyntheticProvider provider(options, unusable, pixel_unit);
  const SignalShape signal = options.shape.signal;
  const Mask disk = DiskMask(signal, 11, 15, 8);
  auto masks = MaskReduction::Create({disk, FullMask(signal)});
  ASSERT_TRUE(masks.ok());
  SumReduction sum;
  Reduction* const reductions[] = {masks->get(), &sum};
  std::vector<uint8_t> done;
  PassOptions pass = Small(threads, static_cast<int64_t>(options.shape.frame_bytes()));
  pass.on_partition = [&](const PassProgress& progress) {
    done.assign(progress.done.begin(), progress.done.end());
  };
  const auto summary = RunPass(provider, reductions, pass);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_EQ(summary->frames, 99);
  EXPECT_EQ(summary->frames_invalid, 6);
  EXPECT_EQ(summary->partitions, 13);  // 5 of the first block, 8 of the second
  EXPECT_EQ(summary->partitions_decoded, 13);
  EXPECT_TRUE(summary->complete);

  const ResultArray sums = (*masks)->result();
  ASSERT_EQ(sums.integers().size(), 2 * 99U);
  std::vector<int64_t> total(static_cast<size_t>(signal.pixel_count()));
  for (int64_t n = 0; n < 99; ++n) {
    int64_t in_disk = 0;
    int64_t all = 0;
    const bool valid = !options.missing.contains(n) && !unusable.contains(n);
    for (int64_t y = 0; valid && y < signal.rows; ++y) {
      for (int64_t x = 0; x < signal.columns; ++x) {
        const int64_t value = testing_support::SyntheticNumber(n, y, x, ElementType::kUint16);
        const auto pixel = static_cast<size_t>(y * signal.columns + x);
        all += value;
        if (disk.weights[pixel] != 0) in_disk += value;
        total[pixel] += value;
      }
    }
    EXPECT_EQ(sums.integers()[static_cast<size_t>(n)], in_disk) << "frame " << n;
    EXPECT_EQ(sums.integers()[static_cast<size_t>(99 + n)], all) << "frame " << n;
    EXPECT_EQ(done[static_cast<size_t>(n)], valid) << "frame " << n;
  }
  EXPECT_EQ(sum.result().integers(), total);
}

// Where all that a pass computes takes any order of the pixels, it gets that of the provider.
TEST_P(FrameProviderTest, AnOrderOfItsOwnChangesNoResult) {
  const auto& [threads, pixel_unit] = GetParam();
  const SyntheticOptions options = Frames();
  const SignalShape signal = options.shape.signal;
  SyntheticProvider provider(options, {5}, pixel_unit);
  std::vector<uint32_t> order(static_cast<size_t>(signal.pixel_count()));
  for (size_t p = 0; p < order.size(); ++p) {
    order[p] = static_cast<uint32_t>(p * 5 % order.size());  // 768 pixels
  }
  const PassOptions pass = Small(threads, static_cast<int64_t>(options.shape.frame_bytes()));
  const auto make = [&] {
    auto masks = MaskReduction::Create(
        {DiskMask(signal, 11, 15, 8), FullMask(signal), GradientMasks(signal, 3, 4, 1e9).front()});
    EXPECT_TRUE(masks.ok());
    return std::move(masks).value();
  };
  const auto plain = make();
  Reduction* const alone[] = {plain.get()};
  ASSERT_TRUE(RunPass(provider, alone, pass).ok());
  EXPECT_EQ(provider.read_in_order, 0);

  provider.order = std::make_shared<const std::vector<uint32_t>>(order);
  const auto ordered = make();
  Reduction* const reordered[] = {ordered.get()};
  ASSERT_TRUE(RunPass(provider, reordered, pass).ok());
  EXPECT_GT(provider.read_in_order, 0);
  EXPECT_EQ(ordered->result().integers(), plain->result().integers());

  // A sum of frames wants its pixels where they are, and float sums would differ in the last
  // digits.
  provider.read_in_order = 0;
  const auto beside = make();
  SumReduction sum;
  Reduction* const both[] = {beside.get(), &sum};
  ASSERT_TRUE(RunPass(provider, both, pass).ok());
  Mask soft = FullMask(signal);
  soft.weights[7] = 0.3;
  const auto floats = MaskReduction::Create({soft});
  Reduction* const float_alone[] = {floats->get()};
  ASSERT_TRUE(RunPass(provider, float_alone, pass).ok());
  EXPECT_EQ(provider.read_in_order, 0);
  EXPECT_EQ(beside->result().integers(), plain->result().integers());
}

// The same pixels, 12 bits each, in runs: nothing is unpacked but by who multiplies them.
TEST_P(FrameProviderTest, PackedPixelsGiveTheSameResults) {
  const auto& [threads, pixel_unit] = GetParam();
  SyntheticOptions options = Frames();
  const SignalShape signal = options.shape.signal;
  SyntheticProvider provider(options, {5, 60}, pixel_unit);
  std::vector<uint32_t> order(static_cast<size_t>(signal.pixel_count()));
  for (size_t p = 0; p < order.size(); ++p) {
    order[p] = static_cast<uint32_t>(p * 5 % order.size());  // 768 pixels
  }
  provider.order = std::make_shared<const std::vector<uint32_t>>(order);
  provider.run = 44;  // the last one is shorter
  provider.good = std::make_shared<std::vector<uint8_t>>(order.size(), uint8_t{1});
  (*provider.good)[100] = 0;
  std::vector<Mask> stack = {DiskMask(signal, 11, 15, 8), FullMask(signal)};
  for (int k = 0; k < 70; ++k) stack.push_back(AnnulusMask(signal, 12, 16, 0.2 * k, 0.2 * k + 2));
  for (size_t p = 0; p < order.size(); ++p)
    stack[1].weights[p] = static_cast<double>(p) * 80 - 30000;
  auto masks = MaskReduction::Create(stack);
  auto centre = CentreOfMassReduction::Create(FullMask(signal));
  ASSERT_TRUE(masks.ok() && centre.ok());
  Reduction* const reductions[] = {masks->get(), centre->get()};
  const PassOptions pass = Small(threads, static_cast<int64_t>(options.shape.frame_bytes()));
  const auto summary = RunPass(provider, reductions, pass);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_GT(provider.located, 0);
  EXPECT_EQ(summary->frames_invalid, 5);
  const std::vector<int64_t>& sums = (*masks)->result().integers();
  const ResultArray rows = (*centre)->Rows();
  for (int64_t n = 0; n < 99; ++n) {
    const bool valid = !options.missing.contains(n) && n != 5 && n != 60;
    int64_t weight = 0;
    int64_t moment = 0;
    std::vector<int64_t> expected(stack.size());
    for (int64_t p = 0; valid && p < signal.pixel_count(); ++p) {
      if (p == 100) continue;
      const int64_t value = testing_support::SyntheticNumber(
                                n, p / signal.columns, p % signal.columns, ElementType::kUint16) %
                            4096;
      weight += value;
      moment += value * (p / signal.columns);
      for (size_t k = 0; k < stack.size(); ++k) {
        expected[k] += value * static_cast<int64_t>(stack[k].weights[static_cast<size_t>(p)]);
      }
    }
    for (size_t k = 0; k < stack.size(); ++k) {
      ASSERT_EQ(sums[k * 99 + static_cast<size_t>(n)], expected[k])
          << "frame " << n << " mask " << k;
    }
    if (valid) {
      EXPECT_EQ(rows.doubles()[static_cast<size_t>(n)],
                static_cast<double>(moment) / static_cast<double>(weight));
    }
  }
  EXPECT_EQ(provider.read_in_order, 0);

  // Weights that are no whole numbers, or of more than 16 bits, are for unpacked pixels.
  provider.located = 0;
  for (const double weight : {0.5, 32768.0}) {
    std::vector<Mask> other = {FullMask(signal)};
    other.front().weights[3] = weight;
    const auto reduction = MaskReduction::Create(other);
    Reduction* const one[] = {reduction->get()};
    EXPECT_TRUE(RunPass(provider, one, pass).ok());
  }
  EXPECT_EQ(provider.located, 0);
}

INSTANTIATE_TEST_SUITE_P(WholeAndStrips, FrameProviderTest,
                         testing::Values(std::pair(1, 0), std::pair(3, 0), std::pair(1, 32),
                                         std::pair(3, 32), std::pair(2, 768)));

TEST(FrameProviderErrors, WhatTheProviderSaysIsTheErrorOfThePass) {
  SyntheticProvider provider(Frames(), {}, 0);
  provider.broken = 60;
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  const auto failed = RunPass(provider, reductions, Small(2, 24 * 32 * 2));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().kind(), ErrorKind::kCorrupt);
}

TEST(FrameProviderErrors, PackedPixelsThatCouldNotBeReadAreAnError) {
  SyntheticProvider provider(Frames(), {}, 32);
  std::vector<uint32_t> order(768);
  std::iota(order.begin(), order.end(), 0U);
  provider.order = std::make_shared<const std::vector<uint32_t>>(std::move(order));
  provider.run = 256;
  provider.loses_pages = true;
  const auto masks = MaskReduction::Create({FullMask({24, 32})});
  Reduction* const reductions[] = {masks->get()};
  const auto failed = RunPass(provider, reductions, Small(2, 24 * 32 * 2));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().kind(), ErrorKind::kCorrupt);
  EXPECT_GT(provider.located, 0);
}

TEST(FrameProviderErrors, OnlySelectedFramesAreRead) {
  SyntheticProvider provider(Frames(), {}, 0);
  provider.broken = 60;
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  PassOptions pass = Small(2, 24 * 32 * 2);
  pass.selection.assign(99, 0);
  pass.selection[5] = 1;
  const auto summary = RunPass(provider, reductions, pass);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_EQ(summary->frames, 1);
  EXPECT_EQ(sum.result().integers().front(),
            testing_support::SyntheticNumber(5, 0, 0, ElementType::kUint16));
  pass.selection.pop_back();
  EXPECT_EQ(RunPass(provider, reductions, pass).error().kind(), ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
