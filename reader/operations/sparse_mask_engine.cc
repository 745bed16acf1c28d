#include "reader/operations/sparse_mask_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <type_traits>
#include <vector>

#include "reader/kernels/sparse_kernels.h"

namespace penstock {

namespace {

constexpr double kLargestExactDouble = 9007199254740992.0;  // 2^53
constexpr double kInt64Limit = 9.2e18;                      // below 2^63
// A dense kernel takes as many pixels in the time of one entry of a sparse one.
constexpr size_t kPixelsPerEntry = 16;

struct Entry {
  int64_t pixel = 0;
  uint32_t mask = 0;
  double weight = 0;
};

// By rising pixels; those of one mask and pixel added up, those without a weight left out.
std::vector<Entry> Collect(std::span<const SparseMask> masks) {
  std::vector<Entry> entries;
  for (uint32_t k = 0; k < masks.size(); ++k) {
    for (size_t e = 0; e < masks[k].pixels.size(); ++e) {
      entries.push_back({masks[k].pixels[e], k, masks[k].weights[e]});
    }
  }
  const auto place = [](const Entry& entry) { return std::tuple(entry.pixel, entry.mask); };
  std::ranges::stable_sort(entries, {}, place);
  size_t kept = 0;
  for (size_t e = 0; e < entries.size(); ++e) {
    if (kept > 0 && place(entries[kept - 1]) == place(entries[e])) {
      entries[kept - 1].weight += entries[e].weight;
    } else {
      entries[kept++] = entries[e];
    }
  }
  entries.resize(kept);
  std::erase_if(entries, [](const Entry& entry) { return entry.weight == 0; });
  return entries;
}

// All chunks of a frame, in the layout of kernels::SparseChunk.
class ChunkTable {
 public:
  ChunkTable(std::vector<Entry> entries, int64_t tile_pixels) : tile_pixels_(tile_pixels) {
    size_t first = 0;
    while (first < entries.size()) first = AddChunk(entries, first);
    row_starts_.push_back(static_cast<uint32_t>(places_.size()));
  }

  // use(chunk) for every chunk of the tile.
  template <typename Use>
  void ForTile(const Tile& tile, Use&& use) const {
    const int64_t index = tile.first_pixel / tile_pixels_;
    auto chunk = std::ranges::lower_bound(chunks_, index, {}, &Chunk::tile);
    for (; chunk != chunks_.end() && chunk->tile == index; ++chunk) {
      use(kernels::SparseChunk{blocks_.data() + chunk->first_block, chunk->block_count,
                               row_masks_.data() + chunk->first_row,
                               row_starts_.data() + chunk->first_row, chunk->row_count,
                               places_.data(), weights_.data()});
    }
  }

 private:
  struct Chunk {
    int64_t tile = 0;
    size_t first_block = 0;
    size_t block_count = 0;
    size_t first_row = 0;
    size_t row_count = 0;
  };

  // The blocks that follow entries[first], as many as a chunk takes; the first entry behind them.
  size_t AddChunk(std::vector<Entry>& entries, size_t first) {
    constexpr auto kBlock = static_cast<int64_t>(kernels::kSparseBlockPixels);
    Chunk chunk{.tile = entries[first].pixel / tile_pixels_,
                .first_block = blocks_.size(),
                .first_row = row_masks_.size()};
    size_t end = first;
    for (; end < entries.size() && entries[end].pixel / tile_pixels_ == chunk.tile; ++end) {
      const int64_t block = entries[end].pixel % tile_pixels_ / kBlock * kBlock;
      if (chunk.block_count == 0 || blocks_.back() != block) {
        if (chunk.block_count == kernels::kMostSparseBlocks) break;
        blocks_.push_back(static_cast<uint32_t>(block));
        ++chunk.block_count;
      }
      // From here on the pixel is the place in the chunk.
      entries[end].pixel = static_cast<int64_t>(chunk.block_count - 1) * kBlock +
                           entries[end].pixel % tile_pixels_ % kBlock;
    }
    std::stable_sort(entries.begin() + static_cast<ptrdiff_t>(first),
                     entries.begin() + static_cast<ptrdiff_t>(end),
                     [](const Entry& a, const Entry& b) { return a.mask < b.mask; });
    for (size_t e = first; e < end; ++e) {
      if (e == first || entries[e].mask != entries[e - 1].mask) {
        row_masks_.push_back(entries[e].mask);
        row_starts_.push_back(static_cast<uint32_t>(places_.size()));
        ++chunk.row_count;
      }
      places_.push_back(static_cast<uint16_t>(entries[e].pixel));
      weights_.push_back(entries[e].weight);
    }
    chunks_.push_back(chunk);
    return end;
  }

  int64_t tile_pixels_;
  std::vector<Chunk> chunks_;
  std::vector<uint32_t> blocks_;
  std::vector<uint32_t> row_masks_;
  std::vector<uint32_t> row_starts_;
  std::vector<uint16_t> places_;
  std::vector<double> weights_;
};

template <typename Pixel>
constexpr bool kHasKernel = std::is_same_v<Pixel, float> || sizeof(Pixel) <= 2;

template <typename Pixel>
class SparseEngine final : public MaskEngine {
 public:
  SparseEngine(ChunkTable chunks, size_t mask_count, bool exact)
      : chunks_(std::move(chunks)), mask_count_(mask_count), exact_(exact) {
    bias_.resize(mask_count);
  }

  bool is_exact() const override { return exact_; }

  void Multiply(const Tile& tile, double* totals) const override { Add(tile, totals); }
  void Multiply(const Tile& tile, int64_t* totals) const override {
    if constexpr (kHasKernel<Pixel>) {
      // Every sum is below 2^53: float64 holds it exactly.
      std::vector<double> sums(static_cast<size_t>(tile.frame_count) * mask_count_);
      Add(tile, sums.data());
      for (size_t i = 0; i < sums.size(); ++i) totals[i] += static_cast<int64_t>(sums[i]);
    } else {
      Add(tile, totals);
    }
  }

 private:
  template <typename Total>
  void Add(const Tile& tile, Total* totals) const {
    const kernels::FramePixels<Pixel> frames{
        tile.Frame<Pixel>(0), tile.frame_stride / sizeof(Pixel),
        static_cast<size_t>(tile.frame_count), static_cast<size_t>(tile.pixel_count)};
    chunks_.ForTile(tile, [&](const kernels::SparseChunk& chunk) {
      if constexpr (kHasKernel<Pixel> && std::is_same_v<Total, double>) {
        kernels::SparseProduct(frames, chunk, totals, mask_count_);
      } else {
        kernels::scalar::SparseProduct(frames, chunk, totals, mask_count_);
      }
    });
  }

  ChunkTable chunks_;
  size_t mask_count_;
  bool exact_;
};

template <typename Pixel>
std::unique_ptr<const MaskEngine> MakeEngine(ChunkTable chunks, size_t masks, bool integer,
                                             double maximum_total) {
  const double largest = std::ldexp(maximum_total, static_cast<int>(8 * sizeof(Pixel)));
  const bool exact = std::is_integral_v<Pixel> && integer &&
                     largest < (kHasKernel<Pixel> ? kLargestExactDouble : kInt64Limit);
  return std::make_unique<SparseEngine<Pixel>>(std::move(chunks), masks, exact);
}

}  // namespace

bool IsBetterDense(const SparseMask& mask) {
  return mask.pixels.size() > static_cast<size_t>(mask.shape.pixel_count()) / kPixelsPerEntry;
}

Result<std::unique_ptr<const MaskEngine>> MakeSparseMaskEngine(std::span<const SparseMask> masks,
                                                               ElementType element_type,
                                                               int64_t tile_pixels) {
  std::vector<Entry> entries = Collect(masks);
  if (entries.size() > UINT32_MAX) {
    return Error::Unsupported("the sparse masks have too many entries")
        .Expected("less than 2^32")
        .Found(fmt::format("{}", entries.size()));
  }
  bool integer = true;
  std::vector<double> totals(masks.size());
  for (const Entry& entry : entries) {
    integer = integer && entry.weight == std::floor(entry.weight) &&
              std::abs(entry.weight) <= kLargestExactDouble;
    totals[entry.mask] += std::abs(entry.weight);
  }
  const double maximum = totals.empty() ? 0 : *std::ranges::max_element(totals);
  ChunkTable chunks(std::move(entries), tile_pixels);
  std::unique_ptr<const MaskEngine> engine;
  VisitElementType(element_type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T> && (sizeof(T) <= 4 || std::is_same_v<T, double>)) {
      engine = MakeEngine<T>(std::move(chunks), masks.size(), integer, maximum);
    }
  });
  if (engine == nullptr) {
    return Error::Unsupported(fmt::format("masks on {} data", ZarrDataType(element_type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  return engine;
}

}  // namespace penstock
