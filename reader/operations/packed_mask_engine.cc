#include "reader/operations/packed_mask_engine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/packed_product.h"
#include "reader/operations/ordered_weights.h"

namespace penstock {

namespace {

// Pixels of which a mask takes all or none: a multiple of what any vector holds, and 31 of these
// are a block of K2 IS.
constexpr size_t kPiecePixels = 480;

// Stored: what of the masks is stored: uint32_t for bits, 32 of them; int16_t for values.
template <typename Stored>
class PackedMaskEngine final : public MaskEngine {
 public:
  PackedMaskEngine(MaskStack masks, kernels::MaskForm form, int32_t maximum_weight,
                   const PassPlan& plan)
      : mask_count_(masks.size()),
        maximum_weight_(maximum_weight),
        form_(form),
        run_pixels_(static_cast<size_t>(plan.packed_run)),
        pieces_of_run_((run_pixels_ + kPiecePixels - 1) / kPiecePixels),
        frame_pixels_(plan.pixel_order->size()),
        runs_((frame_pixels_ + run_pixels_ - 1) / run_pixels_) {
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
            .pixels = PixelsOf(run),
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
  static constexpr bool kBits = std::is_same_v<Stored, uint32_t>;

  // Masks that a kernel takes together.
  struct Batch {
    size_t first_mask = 0;
    std::vector<int64_t> odd_sums;    // [run][PackedMasks::kMost]
    std::vector<size_t> first_chunk;  // of each run, and behind the last
    std::vector<kernels::MaskChunk> chunks;
    kernels::AlignedVector<Stored> stored;  // of the chunks, one behind the other
    std::vector<uint16_t> masks;            // the same
  };

  // What one mask has for the pieces in which it is not 0, one behind the other.
  struct Pieces {
    kernels::AlignedVector<Stored> stored;
    size_t used = 0;
  };

  size_t PixelsOf(size_t run) const {
    return std::min(run_pixels_, frame_pixels_ - run * run_pixels_);
  }
  static size_t LengthOf(size_t pixels) { return kBits ? (pixels + 31) / 32 : pixels; }

  void Fill(Batch& batch, MaskStack masks, const PassPlan& plan) const {
    batch.odd_sums.resize(runs_ * kernels::PackedMasks::kMost);
    std::vector<uint64_t> masks_of_piece(runs_ * pieces_of_run_);  // bit k: mask k is not 0 there
    std::vector<Pieces> of_mask(masks.size());
    for (size_t k = 0; k < masks.size(); ++k) {
      const OrderedWeights weights(*masks[k], *plan.pixel_order, plan.good_pixels.get());
      auto& stored = of_mask[k].stored;
      stored.reserve(runs_ * LengthOf(run_pixels_));  // memory that is never used is never taken
      for (size_t run = 0; run < runs_; ++run) {
        int64_t& odd_sum = batch.odd_sums[run * kernels::PackedMasks::kMost + k];
        for (size_t piece = 0; piece * kPiecePixels < PixelsOf(run); ++piece) {
          const size_t first = piece * kPiecePixels;
          const size_t pixels = std::min(kPiecePixels, PixelsOf(run) - first);
          const size_t length = stored.size();
          stored.resize(length + LengthOf(pixels));
          if (Store(weights, run * run_pixels_ + first, pixels, std::span(stored).subspan(length),
                    odd_sum)) {
            masks_of_piece[run * pieces_of_run_ + piece] |= uint64_t{1} << k;
          } else {
            stored.resize(length);
          }
        }
      }
    }
    AddChunks(masks_of_piece, of_mask, batch);
    SetPointers(batch);
  }

  // Weights from place `first` of the order on, as the form wants them. False where all are 0.
  bool Store(const OrderedWeights& weights, size_t first, size_t pixels, std::span<Stored> stored,
             int64_t& odd_sum) const {
    int32_t any = 0;
    if constexpr (kBits) {
      std::array<uint8_t, kPiecePixels> values{};
      weights.Copy(first, std::span(values).first(pixels));
      PackBits(std::span(values).first(stored.size() * 32), stored.data());
      for (const uint32_t word : stored) {
        any |= static_cast<int32_t>(word);
        odd_sum += std::popcount(word & 0xAAAAAAAA);
      }
    } else {
      weights.Copy(first, stored);
      const auto even_scale =
          static_cast<int16_t>(form_ == kernels::MaskForm::kScaled ? kernels::kEvenScale : 1);
      int32_t sum = 0;
      for (size_t p = 0; p < pixels; p += 2) {
        any |= stored[p] | stored[p + 1];
        sum += stored[p + 1];
        stored[p] = static_cast<int16_t>(stored[p] * even_scale);
      }
      odd_sum += sum;
    }
    return any != 0;
  }

  static void Append(std::span<const Stored> some, auto& to) {
    to.insert(to.end(), some.begin(), some.end());
  }

  // Neighbouring pieces of a run with the same masks are one chunk.
  void AddChunks(std::span<const uint64_t> masks_of_piece, std::vector<Pieces>& of_mask,
                 Batch& batch) const {
    size_t length = 0;
    for (const Pieces& pieces : of_mask) length += pieces.stored.size();
    batch.stored.reserve(length);
    for (size_t run = 0; run < runs_; ++run) {
      batch.first_chunk.push_back(batch.chunks.size());
      const auto pieces = masks_of_piece.subspan(run * pieces_of_run_, pieces_of_run_);
      for (size_t piece = 0, next = 0; piece < pieces.size(); piece = next) {
        next = piece + 1;
        while (next < pieces.size() && pieces[next] == pieces[piece]) ++next;
        if (pieces[piece] == 0) continue;
        kernels::MaskChunk chunk;
        chunk.first_pixel = piece * kPiecePixels;
        chunk.pixels = std::min(next * kPiecePixels, PixelsOf(run)) - chunk.first_pixel;
        for (size_t k = 0; k < of_mask.size(); ++k) {
          if ((pieces[piece] >> k & 1) == 0) continue;
          Append(std::span(of_mask[k].stored).subspan(of_mask[k].used, LengthOf(chunk.pixels)),
                 batch.stored);
          of_mask[k].used += LengthOf(chunk.pixels);
          batch.masks.push_back(static_cast<uint16_t>(k));
          ++chunk.mask_count;
        }
        batch.chunks.push_back(chunk);
      }
    }
    batch.first_chunk.push_back(batch.chunks.size());
  }

  void SetPointers(Batch& batch) const {
    const Stored* next = batch.stored.data();
    const uint16_t* next_masks = batch.masks.data();
    for (kernels::MaskChunk& chunk : batch.chunks) {
      chunk.masks = next_masks;
      next_masks += chunk.mask_count;
      if constexpr (kBits) {
        chunk.bits = next;
      } else {
        chunk.values = next;
      }
      next += chunk.mask_count * LengthOf(chunk.pixels);
    }
  }

  const size_t mask_count_;
  const int32_t maximum_weight_;
  const kernels::MaskForm form_;
  const size_t run_pixels_;
  const size_t pieces_of_run_;
  const size_t frame_pixels_;
  const size_t runs_;
  std::vector<Batch> batches_;
};

}  // namespace

std::optional<WeightRange> RangeForPackedPixels(const Mask& mask) {
  constexpr double kLargestWeight = 32767;
  if (mask.is_complex()) return std::nullopt;
  // Not one by one, so that compilers make vector instructions of it; and not all at once, since
  // weights that are not whole are told by the first of them.
  constexpr size_t kWeights = 1024;
  double lowest = 0;
  double highest = 0;
  for (size_t first = 0; first < mask.weights.size(); first += kWeights) {
    const size_t end = std::min(first + kWeights, mask.weights.size());
    bool whole = true;
    for (size_t p = first; p < end; ++p) {
      const double weight = mask.weights[p];
      const bool fits = std::abs(weight) <= kLargestWeight;
      whole &= fits && static_cast<double>(static_cast<int32_t>(fits ? weight : 0)) == weight;
      lowest = std::min(lowest, weight);
      highest = std::max(highest, weight);
    }
    if (!whole) return std::nullopt;
  }
  return WeightRange{.lowest = static_cast<int32_t>(lowest),
                     .highest = static_cast<int32_t>(highest)};
}

std::unique_ptr<const MaskEngine> MakePackedMaskEngine(MaskStack masks, const WeightRange& range,
                                                       const PassPlan& plan) {
  const int32_t maximum_weight = std::max(range.highest, -range.lowest);
  const kernels::MaskForm form =
      kernels::BestMaskForm(maximum_weight, range.lowest == 0 && range.highest <= 1);
  if (form == kernels::MaskForm::kBits) {
    return std::make_unique<PackedMaskEngine<uint32_t>>(masks, form, maximum_weight, plan);
  }
  return std::make_unique<PackedMaskEngine<int16_t>>(masks, form, maximum_weight, plan);
}

}  // namespace penstock
