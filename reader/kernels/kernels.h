// The inner loops of the reader, compiled for every instruction set that Highway knows for this
// architecture; the best one that the machine has is chosen at run time. Each has a scalar twin of
// the same meaning in scalar_kernels.h, which the tests hold it against.
//
// All functions: thread-safe, no allocation beyond the stack, no alignment needed. `frame_stride`
// and every pixel count are in pixels. Memory behind the last pixel may be prefetched (which never
// faults) but is never read.

#ifndef PENSTOCK_READER_KERNELS_KERNELS_H_
#define PENSTOCK_READER_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock::kernels {

// The same run of pixels of several frames.
template <typename Pixel>
struct FramePixels {
  const Pixel* first = nullptr;  // the run in the first frame
  size_t frame_stride = 0;
  size_t frames = 0;
  size_t pixels = 0;  // in the run
};

// The same run of pixels of several masks, and where the sums go:
// totals[frame * total_stride + mask] += sum over the run of pixel * mask value.
template <typename MaskValue, typename Total>
struct MaskRun {
  const MaskValue* const* masks = nullptr;  // masks[k]: the run in mask k
  size_t mask_count = 0;
  Total* totals = nullptr;
  size_t total_stride = 0;
};

// Binary masks given as 0x00 and 0xff. Exact.
void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<uint8_t, int64_t>& run);

// Integer masks with |value| <= maximum_weight <= 32767. Exact: int32 lanes are widened to int64
// before they can overflow.
void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<int16_t, int64_t>& run,
                 int32_t maximum_weight);

// The same with |value| <= maximum_weight <= 128.
void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<int8_t, int64_t>& run,
                 int32_t maximum_weight);

// As for 16-bit masks, but of 16-bit pixels, and totals receive sum((pixel - 32768) * mask value):
// the caller adds 32768 * sum(mask values), once per frame.
void BiasedMaskProduct(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run,
                       int32_t maximum_weight);

// Binary masks given as 0 and 0xffffffff. Exact.
void MaskProduct(const FramePixels<uint32_t>& frames, const MaskRun<uint32_t, int64_t>& run);

// Float masks: float32 products and partial sums over at most 4096 pixels in as many lanes as the
// machine has, then float64.
void MaskProduct(const FramePixels<float>& frames, const MaskRun<float, double>& run);
void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<float, double>& run);
void MaskProduct(const FramePixels<uint16_t>& frames, const MaskRun<float, double>& run);

// sums[p] += pixel p of every frame, frame after frame. The caller sees to it that the 32-bit sums
// can't overflow.
void AddFrames(const FramePixels<uint8_t>& frames, uint32_t* sums);
void AddFrames(const FramePixels<uint16_t>& frames, uint32_t* sums);
void AddFrames(const FramePixels<uint32_t>& frames, uint64_t* sums);
void AddFrames(const FramePixels<float>& frames, double* sums);

// sums[p] += x, squares[p] += x^2, exact under the same condition (8-bit: at most 66051 frames).
void AddMoments(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares);
void AddMoments(const FramePixels<uint16_t>& frames, uint32_t* sums, uint64_t* squares);
// sums[p] += x - shift[p], squares[p] += (x - shift[p])^2 in float64.
void AddShiftedMoments(const FramePixels<uint32_t>& frames, const double* shift, double* sums,
                       double* squares);
void AddShiftedMoments(const FramePixels<float>& frames, const double* shift, double* sums,
                       double* squares);

// minima[p] and maxima[p] take in pixel p of every frame. NaN is passed over.
void TakeExtremes(const FramePixels<uint8_t>& frames, uint8_t* minima, uint8_t* maxima);
void TakeExtremes(const FramePixels<uint16_t>& frames, uint16_t* minima, uint16_t* maxima);
void TakeExtremes(const FramePixels<uint32_t>& frames, uint32_t* minima, uint32_t* maxima);
void TakeExtremes(const FramePixels<float>& frames, float* minima, float* maxima);

// counts[v] += how many pixels have the value v. 256 or 65536 counts; the caller sees to it that
// they can't overflow.
void CountValues(const uint8_t* pixels, size_t count, uint32_t* counts);
void CountValues(const uint16_t* pixels, size_t count, uint32_t* counts);

// Bins of one width between two bounds, for float32 pixels.
struct UniformBins {
  size_t count = 0;
  float low = 0;    // for a quick first guess at the bin ...
  float scale = 0;  // ... bins per unit
  // Where it is not 0: edges[b] == low + b * width for all b < count, in float32, whether it is
  // rounded once or after the product, too.
  float width = 0;
  // count + 1 values: pixel x is in bin b where edges[b] <= x < edges[b + 1]. Each is the smallest
  // float32 that is not below the bound that is meant, so that the comparison is exact; the last
  // one is the smallest above it, since the last bin takes its upper bound in.
  const float* edges = nullptr;
};
// counts[0]: below, counts[1 + b]: bin b, counts[count + 1]: above, counts[count + 2]: NaN. Exact.
void CountBins(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts);

// Room for the sums of kBinFrames frames, which the caller keeps from call to call.
inline constexpr size_t kBinFrames = 8;
inline constexpr size_t kBinTables = 8;  // at most
template <typename Narrow>
struct BinTable {
  Narrow* sums = nullptr;  // kBinTables * bins * kBinFrames values, of no meaning between calls
  size_t bins = 0;
};
// totals[f * total_stride + bins[p]] += pixel p of frame f. Every entry of `bins` is below
// table.bins. The caller sees to it that one bin gets at most 65537 pixels (16 bits: exact) or 4096
// (float32: partial sums in float32) of this run.
void AddToBins(const FramePixels<uint8_t>& frames, const uint32_t* bins,
               const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride);
void AddToBins(const FramePixels<uint16_t>& frames, const uint32_t* bins,
               const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride);
void AddToBins(const FramePixels<float>& frames, const uint32_t* bins, const BinTable<float>& table,
               double* totals, size_t total_stride);

// Reads every byte and gives their exclusive or: what a pass costs that does nothing else.
// Which way is the faster one depends on the processor.
enum class ReadPattern { kLinear, kEightStreams };
uint64_t LoadAndDiscard(const std::byte* bytes, size_t size, ReadPattern pattern);

// For tests and reports: the names of the instruction sets that this machine can run, best first;
// UseTarget restricts the choice to one of them ("" lifts the restriction). Not thread-safe.
std::vector<std::string> AvailableTargets();
void UseTarget(const std::string& name);

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_KERNELS_H_
