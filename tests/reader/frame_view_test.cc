// Seen frames, and masks folded onto stored ones, against plain loops in float64.

#include "penstock/reader/frame_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "reader/view/frame_viewer.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

// Corrected, moved, cropped and binned, as the header says, of one frame.
template <typename Pixel>
std::vector<double> Expect(const Frames<Pixel>& frames, size_t frame,
                           const FrameViewOptions& options) {
  const int64_t rows = frames.shape.signal.rows, columns = frames.shape.signal.columns;
  const FrameCorrection& by = options.correction;
  const auto linear = [&](int64_t p) {
    const auto at = static_cast<size_t>(p);
    return (static_cast<double>(frames.At(frame, at)) - (by.dark.empty() ? 0 : by.dark[at])) *
           (by.gain.empty() ? 1 : by.gain[at]);
  };
  const auto corrected = [&](int64_t r, int64_t c) {
    if (r < 0 || r >= rows || c < 0 || c >= columns) return 0.0;
    const int64_t p = r * columns + c;
    if (by.dead.empty() || by.dead[static_cast<size_t>(p)] == 0) return linear(p);
    for (int64_t reach = 1;; ++reach) {
      double sum = 0, count = 0;
      for (int64_t q = 0; q < rows * columns; ++q) {
        const bool near = std::abs(q / columns - r) <= reach && std::abs(q % columns - c) <= reach;
        if (!near || by.dead[static_cast<size_t>(q)] != 0) continue;
        sum += linear(q);
        ++count;
      }
      if (count > 0) return sum / count;
    }
  };
  const double down = options.shifts.rows.empty() ? 0 : options.shifts.rows[frame];
  const double along = options.shifts.columns.empty() ? 0 : options.shifts.columns[frame];
  const auto moved = [&](int64_t r, int64_t c) {
    const double y = static_cast<double>(r) + down, x = static_cast<double>(c) + along;
    const auto r0 = static_cast<int64_t>(std::floor(y)), c0 = static_cast<int64_t>(std::floor(x));
    const double fy = y - std::floor(y), fx = x - std::floor(x);
    return (1 - fy) * ((1 - fx) * corrected(r0, c0) + (fx > 0 ? fx * corrected(r0, c0 + 1) : 0)) +
           (fy > 0 ? fy * ((1 - fx) * corrected(r0 + 1, c0) +
                           (fx > 0 ? fx * corrected(r0 + 1, c0 + 1) : 0))
                   : 0);
  };
  std::vector<double> seen;
  const int64_t last_row = std::min(options.crop.last_row, rows);
  const int64_t last_column = std::min(options.crop.last_column, columns);
  for (int64_t r = options.crop.first_row; r < last_row; r += options.bin) {
    for (int64_t c = options.crop.first_column; c < last_column; c += options.bin) {
      double sum = 0;
      for (int64_t i = 0; i < options.bin * options.bin; ++i) {
        sum += moved(r + i / options.bin, c + i % options.bin);
      }
      seen.push_back(sum);
    }
  }
  return seen;
}

// All pixels of a frame in tiles of 256.
template <typename Pixel>
std::vector<double> See(const FrameView& view, const Frames<Pixel>& frames, size_t frame) {
  const auto viewer = FrameViewer::Make(view);
  const int64_t pixels = view.seen().signal.pixel_count();
  std::vector<double> seen;
  VisitElementType(view.seen().element_type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T>) {
      for (int64_t first = 0; first < pixels; first += 256) {
        std::vector<T> tile(static_cast<size_t>(std::min<int64_t>(256, pixels - first)));
        viewer->See(
            static_cast<int64_t>(frame),
            reinterpret_cast<const std::byte*>(frames.data.data() + frame * frames.pixels()), first,
            static_cast<int64_t>(tile.size()), reinterpret_cast<std::byte*>(tile.data()));
        seen.insert(seen.end(), tile.begin(), tile.end());
      }
    }
  });
  return seen;
}

std::vector<double> RandomWhole(size_t count, int64_t low, int64_t high, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> values(low, high);
  std::vector<double> result(count);
  for (double& value : result) value = static_cast<double>(values(random));
  return result;
}

struct NamedView {
  const char* name;
  FrameViewOptions options;
  bool whole;  // integer data stay exact
};

// For frames of 37 x 29 pixels, 35 of them.
std::vector<NamedView> Views() {
  const size_t pixels = 37 * 29, frames = 35;
  const std::vector<double> dark = RandomWhole(pixels, -5, 90, 1);
  std::vector<double> gain = RandomWhole(pixels, 50, 150, 2),
                      fine = RandomWhole(frames, -40, 40, 3);
  for (double& value : gain) value /= 100;
  for (double& value : fine) value /= 16;
  std::vector<uint8_t> dead(pixels);
  for (const size_t p : {0, 1, 30, 29, 500, 501, 502, 529, 530, 531, 558, 559, 560, 1072})
    dead[p] = 1;
  const FrameShifts whole = {RandomWhole(frames, -40, 40, 4), RandomWhole(frames, -5, 5, 5)};
  const FrameShifts parts = {fine, RandomWhole(frames, -3, 3, 6)};
  const PixelWindow window{3, 33, 4, 28};
  return {{"crop", {.crop = window}, true},
          {"bin", {.crop = window, .bin = 3}, true},
          {"large bin", {.crop = {0, 24, 0, 24}, .bin = 24}, true},
          {"dark", {.correction = {.dark = dark}}, true},
          {"dark and bin", {.correction = {.dark = dark}, .crop = window, .bin = 2}, true},
          {"gain", {.correction = {.dark = dark, .gain = gain}}, false},
          {"dead", {.correction = {.dead = dead}}, false},
          {"all corrections", {.correction = {dark, gain, dead}, .crop = window, .bin = 6}, false},
          {"whole shifts", {.shifts = whole}, true},
          {"whole shifts, dark, bin",
           {.correction = {.dark = dark}, .shifts = whole, .crop = window, .bin = 2},
           true},
          {"shifts", {.shifts = parts}, false},
          {"all",
           {.correction = {dark, gain, dead}, .shifts = parts, .crop = window, .bin = 3},
           false}};
}

template <typename Pixel>
class FrameViews : public testing::Test {};
using Pixels = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, double>;
TYPED_TEST_SUITE(FrameViews, Pixels);

TYPED_TEST(FrameViews, EqualPlainLoops) {
  const auto frames = MakeFrames<TypeParam>();
  for (const NamedView& wanted : Views()) {
    SCOPED_TRACE(wanted.name);
    const auto view = FrameView::Create(frames.shape, wanted.options);
    ASSERT_TRUE(view.ok()) << view.error().ToString();
    const bool exact = std::is_integral_v<TypeParam> && wanted.whole;
    EXPECT_TRUE(!(exact && sizeof(TypeParam) < 4) || IsInteger((*view)->seen().element_type));
    EXPECT_EQ((*view)->seen().signal, *SeenSignal(frames.shape.signal, wanted.options));
    for (const size_t frame : {0, 11, 34}) {
      const auto expected = Expect(frames, frame, wanted.options);
      const auto found = See(**view, frames, frame);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t p = 0; p < expected.size(); ++p) {
        if (exact) {
          ASSERT_EQ(found[p], expected[p]) << "pixel " << p;
        } else {
          const double largest = std::is_floating_point_v<TypeParam>
                                     ? 200
                                     : std::ldexp(1.0, 8 * static_cast<int>(sizeof(TypeParam)));
          const double unit =
              sizeof(TypeParam) < 4 || std::is_same_v<TypeParam, float> ? 1e-6 : 1e-13;
          const double tolerance =
              unit * 2 * largest * static_cast<double>(wanted.options.bin * wanted.options.bin);
          ASSERT_NEAR(found[p], expected[p], tolerance) << "pixel " << p;
        }
      }
    }
  }
}

TYPED_TEST(FrameViews, FoldedMasksGiveTheSumsOfSeenPixels) {
  const auto frames = MakeFrames<TypeParam>();
  for (const NamedView& wanted : Views()) {
    SCOPED_TRACE(wanted.name);
    const auto view = FrameView::Create(frames.shape, wanted.options);
    ASSERT_TRUE(view.ok());
    if (!(*view)->IsFoldable()) continue;
    const SignalShape signal = (*view)->seen().signal;
    const auto weights = RandomWhole(static_cast<size_t>(signal.pixel_count()), -9, 9, 7);
    const Mask mask{"mask", signal, weights, RandomWhole(weights.size(), -9, 9, 8)};
    const auto dense = (*view)->Fold(mask);
    const auto sparse = (*view)->Fold(Sparse(mask));
    const auto seen = See(**view, frames, 11);
    double expected = 0, expected_imaginary = 0, scale = 1;
    for (size_t p = 0; p < seen.size(); ++p) {
      expected += seen[p] * weights[p];
      expected_imaginary += seen[p] * mask.imaginary[p];
      scale += 9 * std::abs(seen[p]);
    }
    double found = dense.constant, found_imaginary = dense.imaginary_constant;
    for (size_t p = 0; p < frames.pixels(); ++p) {
      found += static_cast<double>(frames.At(11, p)) * dense.mask.weights[p];
      found_imaginary += static_cast<double>(frames.At(11, p)) * dense.mask.imaginary[p];
    }
    const double tolerance =
        std::is_integral_v<TypeParam> && wanted.whole && sizeof(TypeParam) < 4 ? 0 : 1e-6 * scale;
    EXPECT_NEAR(found, expected, tolerance);
    EXPECT_NEAR(found_imaginary, expected_imaginary, tolerance);
    const Mask again = Dense(sparse.mask);
    for (size_t p = 0; p < frames.pixels(); ++p) {
      ASSERT_NEAR(again.weights[p], dense.mask.weights[p], 1e-12);
      ASSERT_NEAR(again.imaginary[p], dense.mask.imaginary[p], 1e-12);
    }
    EXPECT_NEAR(sparse.constant, dense.constant, 1e-9 * std::abs(dense.constant));
  }
}

TEST(FrameView, MarkedPixels) {
  const DatasetShape shape{{2, 2, false}, {6, 8}, ElementType::kUint16};
  auto good = std::make_shared<std::vector<uint8_t>>(48, uint8_t{1});
  (*good)[9] = (*good)[20] = 0;
  FrameViewOptions options{.correction = {.dead = std::vector<uint8_t>(48)}, .bin = 2};
  options.correction.dead[20] = 1;  // is interpolated, and good then
  const auto view = FrameView::Create(shape, options, good);
  ASSERT_TRUE(view.ok());
  ASSERT_NE((*view)->good_pixels(), nullptr);
  EXPECT_EQ(*(*view)->good_pixels(), (std::vector<uint8_t>{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));

  // With shifts the marked pixel counts as 0.
  Frames<uint16_t> frames{shape, std::vector<uint16_t>(4 * 48, 1000), {1, 1, 1, 1}};
  const auto moved = FrameView::Create(
      shape, {.shifts = {std::vector<double>(4, 1), std::vector<double>(4, -2)}}, good);
  ASSERT_TRUE(moved.ok());
  EXPECT_EQ((*moved)->good_pixels(), nullptr);
  const auto seen = See(**moved, frames, 0);
  EXPECT_EQ(seen[0 * 8 + 3], 0);     // from (1, 1), which is marked
  EXPECT_EQ(seen[0 * 8 + 1], 0);     // from beyond the frame
  EXPECT_EQ(seen[0 * 8 + 4], 1000);  // from (1, 2)
  EXPECT_EQ(seen[5 * 8 + 4], 0);     // below the frame
}

TEST(FrameView, DeadPixelsOfFloatDataMayBeAnything) {
  auto frames = MakeFrames<float>();
  FrameViewOptions options{.correction = {.dead = std::vector<uint8_t>(frames.pixels())}};
  options.correction.dead[40] = 1;
  for (size_t f = 0; f < frames.count(); ++f) {
    frames.data[f * frames.pixels() + 40] = std::numeric_limits<float>::quiet_NaN();
  }
  const auto view = FrameView::Create(frames.shape, options);
  ASSERT_TRUE(view.ok());
  EXPECT_FALSE((*view)->IsFoldable());
  for (const double value : See(**view, frames, 5)) ASSERT_FALSE(std::isnan(value));
}

TEST(FrameView, NonsenseIsRefused) {
  const DatasetShape shape{{2, 3, false}, {12, 10}, ElementType::kUint16};
  const auto refused = [&](const FrameViewOptions& options) {
    return !FrameView::Create(shape, options).ok();
  };
  EXPECT_TRUE(refused({.correction = {.dark = std::vector<double>(119)}}));
  EXPECT_TRUE(refused({.correction = {.gain = std::vector<double>(121)}}));
  EXPECT_TRUE(refused({.correction = {.dead = std::vector<uint8_t>(1)}}));
  EXPECT_TRUE(refused({.correction = {.dead = std::vector<uint8_t>(120, uint8_t{1})}}));
  EXPECT_TRUE(refused({.correction = {.gain = std::vector<double>(120, std::nan(""))}}));
  EXPECT_TRUE(refused({.shifts = {std::vector<double>(5), std::vector<double>(5)}}));
  EXPECT_TRUE(refused({.shifts = {std::vector<double>(6), {}}}));
  EXPECT_TRUE(refused({.crop = {5, 5, 0, 10}}));
  EXPECT_TRUE(refused({.crop = {12, 20, 0, 10}}));
  EXPECT_TRUE(refused({.bin = 5}));
  EXPECT_TRUE(refused({.bin = 0}));
  EXPECT_TRUE(refused({.bin = 300}));
  EXPECT_FALSE(refused({.crop = {0, 10, 0, 10}, .bin = 5}));
  EXPECT_FALSE(FrameView::Create({{2, 3, false}, {12, 10}, ElementType::kInt64}, {.bin = 2}).ok());

  const auto window = ParseWindow("2:-2,:6", {12, 10});
  ASSERT_TRUE(window.ok());
  EXPECT_EQ(window->first_row, 2);
  EXPECT_EQ(window->last_row, 10);
  EXPECT_EQ(window->first_column, 0);
  EXPECT_EQ(window->last_column, 6);
  for (const auto* text : {"", "1:2", "1,2", "1:2,3:x", "1:2:3,4:5", "1:2,3:4,5:6"}) {
    EXPECT_FALSE(ParseWindow(text, {12, 10}).ok()) << text;
  }
}

}  // namespace
}  // namespace penstock
