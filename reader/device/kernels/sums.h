// Sums of frames over runs of pixels, and over other frames.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_SUMS_H_
#define PENSTOCK_READER_DEVICE_KERNELS_SUMS_H_

#include <type_traits>

#include "reader/device/kernel_call.h"
#include "reader/device/kernels/execution.h"
#include "reader/device/kernels/intrinsics.h"

namespace penstock::device_kernels {

// Wraps instead of overflowing: sums of integers are exact in the end.
template <typename Pixel>
using FrameSum = std::conditional_t<std::is_integral_v<Pixel>, uint64_t, double>;

// One thread per piece and four frames, so that a number of a pixel is read once for four pixels.
template <typename Pixel>
struct PieceSums {
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerProcessor = 8;
  static constexpr int kFrames = 4;
  using Shared = Nothing;
  using Registers = Nothing;
  using Total = std::conditional_t<std::is_integral_v<Pixel>, int64_t, double>;

  PieceSumsCall call;

  GridShape grid() const {
    const int64_t groups = DivideUp(call.frames.frame_count, kFrames);
    return {DivideUp(call.pieces, kThreads), groups < 65535 ? groups : 65535, 1};
  }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Registers&) {
      const int64_t piece = execution.block().x * kThreads + thread;
      if (piece >= call.pieces) return;
      for (int64_t first = execution.block().y * kFrames; first < call.frames.frame_count;
           first += execution.blocks().y * kFrames) {
        Add(piece, first);
      }
    });
  }

 private:
  PENSTOCK_ON_DEVICE void Add(int64_t piece, int64_t first) const {
    Total sums[kFrames] = {};
    const uint32_t length = call.lengths[piece];
    for (uint32_t i = 0; i < length; ++i) {
      const size_t at = size_t{call.pixels_of[int64_t{i} * call.pieces + piece]} * sizeof(Pixel);
      PENSTOCK_UNROLL
      for (int f = 0; f < kFrames; ++f) {
        const int64_t last = call.frames.frame_count - 1;
        const int64_t frame = first + f < last ? first + f : last;
        sums[f] += static_cast<Total>(LoadPixel<Pixel>(
            call.frames.pixels + static_cast<size_t>(frame) * call.frames.frame_stride + at));
      }
    }
    PENSTOCK_UNROLL
    for (int f = 0; f < kFrames; ++f) {
      if (first + f >= call.frames.frame_count) continue;
      reinterpret_cast<Total*>(call.partials)[(first + f) * call.pieces + piece] = sums[f];
    }
  }
};

template <typename Total>
struct RunSums {
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerProcessor = 8;
  using Shared = Nothing;
  using Registers = Nothing;

  RunSumsCall call;

  GridShape grid() const { return {DivideUp(call.frame_count * call.runs, kThreads), 1, 1}; }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Registers&) {
      const int64_t output = execution.block().x * kThreads + thread;
      if (output >= call.frame_count * call.runs) return;
      const int64_t run = output % call.runs;
      const auto* const partials =
          reinterpret_cast<const Total*>(call.partials) + output / call.runs * call.partial_count;
      Total total = 0;
      for (int64_t i = call.first[run]; i < call.first[run + 1]; ++i) total += partials[i];
      reinterpret_cast<Total*>(call.totals)[output] = total;
    });
  }
};

// What the sums over frames have in common: a thread has a few neighbouring pixels of all frames of
// a slice, and reads some frames ahead of those that it adds.
template <typename AnyPixel>
struct OverFrames {
  using Pixel = AnyPixel;
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerProcessor = 4;
  static constexpr int kPixels = sizeof(Pixel) < 4 ? 4 / static_cast<int>(sizeof(Pixel)) : 1;
  static constexpr int kLoadBytes = kPixels * static_cast<int>(sizeof(Pixel));
  static constexpr int kAhead = 8;
  using Shared = Nothing;
  using Registers = Nothing;
  struct Loaded {
    uint32_t words[kLoadBytes / 4];
  };

  static GridShape Grid(const StagedFrames& frames, int64_t slices) {
    return {DivideUp(static_cast<int64_t>(frames.frame_stride) / kLoadBytes, kThreads), slices, 1};
  }

  PENSTOCK_ON_DEVICE static int64_t PixelCount(const StagedFrames& frames) {
    return static_cast<int64_t>(frames.frame_stride / sizeof(Pixel));
  }

  // use(pixel of the thread, its value) for the valid frames of the slice, in order.
  template <typename Use>
  PENSTOCK_ON_DEVICE static void ForSlice(const StagedFrames& frames, int64_t pixel, int64_t slice,
                                          int64_t slices, const Use& use) {
    const int64_t end = frames.frame_count * (slice + 1) / slices;
    for (int64_t first = frames.frame_count * slice / slices; first < end; first += kAhead) {
      Loaded loaded[kAhead];
      bool valid[kAhead];
      PENSTOCK_UNROLL
      for (int f = 0; f < kAhead; ++f) {
        const int64_t frame = first + f < end ? first + f : end - 1;
        loaded[f] =
            LoadPixel<Loaded>(frames.pixels + static_cast<size_t>(frame) * frames.frame_stride +
                              static_cast<size_t>(pixel) * sizeof(Pixel));
        valid[f] = first + f < end && frames.valid[frame] != 0;
      }
      PENSTOCK_UNROLL
      for (int f = 0; f < kAhead; ++f) {
        if (!valid[f]) continue;
        PENSTOCK_UNROLL
        for (int i = 0; i < kPixels; ++i) use(i, PixelOf<Pixel>(loaded[f], i));
      }
    }
  }
};

template <typename Pixel>
struct FrameSums : OverFrames<Pixel> {
  using Base = OverFrames<Pixel>;
  using Sum = FrameSum<Pixel>;

  FrameSumsCall call;

  GridShape grid() const { return Base::Grid(call.frames, call.slices); }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Nothing&) {
      const int64_t pixel = (execution.block().x * Base::kThreads + thread) * Base::kPixels;
      const int64_t pixels = Base::PixelCount(call.frames);
      if (pixel >= pixels) return;
      Sum* const at = reinterpret_cast<Sum*>(call.sums) + execution.block().y * pixels + pixel;
      Sum sums[Base::kPixels];
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) sums[i] = at[i];
      Base::ForSlice(call.frames, pixel, execution.block().y, call.slices,
                     [&](int i, Pixel value) { sums[i] += static_cast<Sum>(value); });
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) at[i] = sums[i];
    });
  }
};

template <typename Pixel>
struct Moments : OverFrames<Pixel> {
  using Base = OverFrames<Pixel>;

  MomentsCall call;

  GridShape grid() const { return Base::Grid(call.frames, call.slices); }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Nothing&) {
      const int64_t pixel = (execution.block().x * Base::kThreads + thread) * Base::kPixels;
      const int64_t pixels = Base::PixelCount(call.frames);
      if (pixel >= pixels) return;
      const int64_t at = execution.block().y * pixels + pixel;
      uint64_t sums[Base::kPixels], squares[Base::kPixels];
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) {
        sums[i] = call.sums[at + i];
        squares[i] = call.squares[at + i];
      }
      Base::ForSlice(call.frames, pixel, execution.block().y, call.slices, [&](int i, Pixel value) {
        const uint32_t x = value;
        sums[i] += x;
        squares[i] += x * x;
      });
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) {
        call.sums[at + i] = sums[i];
        call.squares[at + i] = squares[i];
      }
    });
  }
};

template <typename Pixel>
struct TakeShift : OverFrames<Pixel> {
  using Base = OverFrames<Pixel>;

  TakeShiftCall call;

  GridShape grid() const { return Base::Grid(call.frames, 1); }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Nothing&) {
      const int64_t pixel = (execution.block().x * Base::kThreads + thread) * Base::kPixels;
      if (pixel >= Base::PixelCount(call.frames)) return;
      const std::byte* const frame =
          call.frames.pixels + static_cast<size_t>(call.frame) * call.frames.frame_stride;
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) {
        const auto value = static_cast<double>(
            LoadPixel<Pixel>(frame + static_cast<size_t>(pixel + i) * sizeof(Pixel)));
        call.shift[pixel + i] = value - value == 0 ? value : 0;  // not finite: NaN
      }
    });
  }
};

template <typename Pixel>
struct ShiftedMoments : OverFrames<Pixel> {
  using Base = OverFrames<Pixel>;

  ShiftedMomentsCall call;

  GridShape grid() const { return Base::Grid(call.frames, 1); }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    execution.EachThread([&](int thread, Nothing&) {
      const int64_t pixel = (execution.block().x * Base::kThreads + thread) * Base::kPixels;
      if (pixel >= Base::PixelCount(call.frames)) return;
      double shift[Base::kPixels], sums[Base::kPixels], squares[Base::kPixels];
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) {
        shift[i] = call.shift[pixel + i];
        sums[i] = call.sums[pixel + i];
        squares[i] = call.squares[pixel + i];
      }
      Base::ForSlice(call.frames, pixel, 0, 1, [&](int i, Pixel value) {
        const double difference = static_cast<double>(value) - shift[i];
        sums[i] += difference;
        squares[i] = MultiplyAdd(difference, difference, squares[i]);
      });
      PENSTOCK_UNROLL
      for (int i = 0; i < Base::kPixels; ++i) {
        call.sums[pixel + i] = sums[i];
        call.squares[pixel + i] = squares[i];
      }
    });
  }
};

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_SUMS_H_
