#include "reader/operations/packed_mask_engine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/packed_product.h"

namespace penstock {

namespace {

// Pixels of which a mask takes all or none: a multiple of what any vector holds, and 31 of these
// are a block of K2 IS.
constexpr size_t kPiecePixels = 480;

class PackedMaskEngine final : public MaskEngine {
 public:
  PackedMaskEngine(MaskStack masks, const WeightRange& range, const PassPlan& plan)
      : mask_count_(masks.size()),
        maximum_weight_(std::max(range.highest, -range.lowest)),
        form_(kernels::BestMaskForm(maximum_weight_, range.lowest == 0 && range.highest <= 1)),
        run_pixels_(static_cast<size_t>(plan.packed_run)),
        frame_pixels_(plan.pixel_order->size()) {
    bias_.resize(mask_count_);
    for (size_t first = 0; first < mask_count_; first += kernels::PackedMasks::kMost) {
      const size_t count = std::min(kernels::PackedMasks::kMost, mask_count_ - first);
      batches_.emplace_back().first_mask = first;
      Fill(batches_.back(), masks.subspan(first, count), plan);
    }
  }

  bool is_exact() const override { return true; }

  void Multiply(const PackedTile& tile, int64_t* totals) const override {
    const auto first_run = static_cast<size_t>(tile.first_run);
    const auto frames = static_cast<size_t>(tile.frame_count);
    std::vector<kernels::PackedRun> runs(static_cast<size_t>(tile.run_count));
    std::array<int64_t, kernels::PackedMasks::kMost> odd_sums;
    for (const Batch& batch : batches_) {
      odd_sums.fill(0);
      for (size_t i = 0; i < runs.size(); ++i) {
        const size_t run = first_run + i;
        const size_t first = batch.first_chunk[run];
        runs[i] = {
            .frames = tile.frames + i * frames,
            .pixels = std::min(run_pixels_, frame_pixels_ - run * run_pixels_),
            .chunks = std::span(batch.chunks).subspan(first, batch.first_chunk[run + 1] - first)};
        for (size_t k = 0; k < odd_sums.size(); ++k) {
          odd_sums[k] += batch.odd_sums[run * kernels::PackedMasks::kMost + k];
        }
      }
      kernels::PackedMaskProduct(
          runs, frames,
          {.maximum_weight = maximum_weight_, .form = form_, .odd_sums = odd_sums.data()},
          totals + batch.first_mask, mask_count_);
    }
  }
  using MaskEngine::Multiply;

 private:
  // Masks that a kernel takes together.
  struct Batch {
    size_t first_mask = 0;
    std::vector<int64_t> odd_sums;    // [run][PackedMasks::kMost]
    std::vector<size_t> first_chunk;  // of each run, and behind the last
    std::vector<kernels::MaskChunk> chunks;
    kernels::AlignedVector<int16_t> values;  // of the chunks, one behind the other; or bits
    std::vector<uint32_t> bits;
    std::vector<uint16_t> masks;  // the same
  };

  // What one mask has for the pieces in which it is not 0, one behind the other.
  struct Pieces {
    std::vector<int16_t> values;
    std::vector<uint32_t> bits;
    size_t used = 0;  // pixels or words of these
  };

  void Fill(Batch& batch, MaskStack masks, const PassPlan& plan) const {
    const std::span<const uint32_t> order = *plan.pixel_order;
    const size_t runs = (order.size() + run_pixels_ - 1) / run_pixels_;
    const size_t pieces_of_run = (run_pixels_ + kPiecePixels - 1) / kPiecePixels;
    batch.odd_sums.resize(runs * kernels::PackedMasks::kMost);
    std::vector<uint64_t> masks_of_piece(runs * pieces_of_run);  // bit k: mask k is not 0 there
    std::vector<Pieces> of_mask(masks.size());
    std::vector<int16_t> weights(order.size());
    std::vector<int16_t> values(order.size());
    for (size_t k = 0; k < masks.size(); ++k) {
      std::ranges::transform(masks[k]->weights, weights.begin(),
                             [](double weight) { return static_cast<int16_t>(weight); });
      if (plan.good_pixels != nullptr) KeepGood(*plan.good_pixels, weights);
      Gather(weights, order, values);
      for (size_t run = 0; run < runs; ++run) {
        const auto of_run = RunOf(std::span<const int16_t>(values), run);
        batch.odd_sums[run * kernels::PackedMasks::kMost + k] = OddSum(of_run);
        for (size_t piece = 0; piece * kPiecePixels < of_run.size(); ++piece) {
          const auto some = of_run.subspan(
              piece * kPiecePixels, std::min(kPiecePixels, of_run.size() - piece * kPiecePixels));
          if (!IsAnySet(some)) continue;
          masks_of_piece[run * pieces_of_run + piece] |= uint64_t{1} << k;
          if (form_ == kernels::MaskForm::kBits) {
            AddBits(some, of_mask[k].bits);
          } else {
            of_mask[k].values.insert(of_mask[k].values.end(), some.begin(), some.end());
          }
        }
      }
    }
    for (size_t run = 0; run < runs; ++run) {
      batch.first_chunk.push_back(batch.chunks.size());
      AddChunks(std::span(masks_of_piece).subspan(run * pieces_of_run, pieces_of_run),
                RunOf(order, run).size(), of_mask, batch);
    }
    batch.first_chunk.push_back(batch.chunks.size());
    SetPointers(batch);
  }

  template <typename T>
  std::span<T> RunOf(std::span<T> all, size_t run) const {
    return all.subspan(run * run_pixels_, std::min(run_pixels_, all.size() - run * run_pixels_));
  }

  static void KeepGood(const std::vector<uint8_t>& good, std::vector<int16_t>& weights) {
    for (size_t p = 0; p < weights.size(); ++p) {
      if (good[p] == 0) weights[p] = 0;
    }
  }

  // In the order of the pixels, as the form wants them. Some pixels of every run, then the next:
  // runs are parts of the frame side by side, whose weights are neighbours in memory.
  void Gather(const std::vector<int16_t>& weights, std::span<const uint32_t> order,
              std::vector<int16_t>& values) const {
    constexpr size_t kPixels = 256;
    const int32_t even_scale = form_ == kernels::MaskForm::kScaled ? kernels::kEvenScale : 1;
    for (size_t place = 0; place < run_pixels_; place += kPixels) {
      for (size_t run = 0; run < order.size(); run += run_pixels_) {
        const size_t end = std::min({run + place + kPixels, run + run_pixels_, order.size()});
        for (size_t p = run + place; p < end; p += 2) {
          values[p] = static_cast<int16_t>(even_scale * weights[order[p]]);
          values[p + 1] = weights[order[p + 1]];
        }
      }
    }
  }

  static int64_t OddSum(std::span<const int16_t> values) {
    int64_t sum = 0;
    for (size_t p = 1; p < values.size(); p += 2) sum += values[p];
    return sum;
  }

  static bool IsAnySet(std::span<const int16_t> values) {
    int16_t any = 0;
    for (const int16_t value : values) any = static_cast<int16_t>(any | value);
    return any != 0;
  }

  static void AddBits(std::span<const int16_t> values, std::vector<uint32_t>& bits) {
    for (size_t first = 0; first < values.size(); first += 32) {
      const size_t count = std::min<size_t>(32, values.size() - first);
      uint32_t word = 0;
      for (size_t p = 0; p < count; ++p) word |= static_cast<uint32_t>(values[first + p]) << p;
      bits.push_back(word);
    }
  }

  // Of one run. Neighbouring pieces with the same masks are one chunk.
  void AddChunks(std::span<const uint64_t> pieces, size_t run_pixels, std::vector<Pieces>& of_mask,
                 Batch& batch) const {
    for (size_t piece = 0, next = 0; piece < pieces.size(); piece = next) {
      next = piece + 1;
      while (next < pieces.size() && pieces[next] == pieces[piece]) ++next;
      if (pieces[piece] == 0) continue;
      kernels::MaskChunk chunk;
      chunk.first_pixel = piece * kPiecePixels;
      chunk.pixels = std::min(next * kPiecePixels, run_pixels) - chunk.first_pixel;
      for (size_t k = 0; k < of_mask.size(); ++k) {
        if ((pieces[piece] >> k & 1) == 0) continue;
        if (form_ == kernels::MaskForm::kBits) {
          Take(of_mask[k].bits, chunk.words_of_bits(), of_mask[k].used, batch.bits);
        } else {
          Take(of_mask[k].values, chunk.pixels, of_mask[k].used, batch.values);
        }
        batch.masks.push_back(static_cast<uint16_t>(k));
        ++chunk.mask_count;
      }
      batch.chunks.push_back(chunk);
    }
  }

  template <class From, class To>
  static void Take(const From& from, size_t count, size_t& used, To& to) {
    const auto first = from.begin() + static_cast<ptrdiff_t>(used);
    to.insert(to.end(), first, first + static_cast<ptrdiff_t>(count));
    used += count;
  }

  void SetPointers(Batch& batch) const {
    const int16_t* next_values = batch.values.data();
    const uint32_t* next_bits = batch.bits.data();
    const uint16_t* next_masks = batch.masks.data();
    for (kernels::MaskChunk& chunk : batch.chunks) {
      chunk.masks = next_masks;
      next_masks += chunk.mask_count;
      if (form_ == kernels::MaskForm::kBits) {
        chunk.bits = next_bits;
        next_bits += chunk.mask_count * chunk.words_of_bits();
      } else {
        chunk.values = next_values;
        next_values += chunk.mask_count * chunk.pixels;
      }
    }
  }

  const size_t mask_count_;
  const int32_t maximum_weight_;
  const kernels::MaskForm form_;
  const size_t run_pixels_;
  const size_t frame_pixels_;
  std::vector<Batch> batches_;
};

}  // namespace

std::optional<WeightRange> RangeForPackedPixels(const Mask& mask) {
  constexpr double kLargestWeight = 32767;
  WeightRange range;
  if (mask.is_complex()) return std::nullopt;
  for (const double weight : mask.weights) {
    if (!(std::abs(weight) <= kLargestWeight)) return std::nullopt;
    const auto value = static_cast<int32_t>(weight);
    if (static_cast<double>(value) != weight) return std::nullopt;
    range.lowest = std::min(range.lowest, value);
    range.highest = std::max(range.highest, value);
  }
  return range;
}

std::unique_ptr<const MaskEngine> MakePackedMaskEngine(MaskStack masks, const WeightRange& range,
                                                       const PassPlan& plan) {
  return std::make_unique<PackedMaskEngine>(masks, range, plan);
}

}  // namespace penstock
