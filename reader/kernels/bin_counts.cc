// Counting float values in bins of one width: each becomes the number of its bin, in 16 bits, and
// those are counted as pixels of 16 bits are.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/bin_counts.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/prefetch.h"
#include "reader/kernels/scalar_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void CountF32(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  scalar::CountBins(pixels, count, bins, counts);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using Index = hn::RebindToSigned<D>;

// Where a value lies among the bins, in bins, is known to within `unsure`.
class BinFinder {
 public:
  explicit BinFinder(const UniformBins& bins)
      : bins_(bins),
        // The product, the sum, the scale, the lower bound and its product are each rounded to 24
        // bits.
        unsure_(4.8e-7f * static_cast<float>(bins.count) +
                2.4e-7f * std::abs(bins.low) * bins.scale) {}

  // Whether Find may be used: the nearest edge is known, and the numbers fit 16 bits.
  bool IsUsable() const { return unsure_ < 0.25f && bins_.count + 3 <= 65536; }

  bool HasWidth() const { return bins_.width > 0; }

  // Numbers as `counts` of CountBins has them. kHasWidth: as HasWidth() says.
  template <bool kHasWidth>
  HWY_INLINE hn::Vec<Index> Find(V x) const {
    const D d;
    const Index d_index;
    const auto one = hn::Set(d_index, 1);
    const auto count = hn::Set(d, static_cast<float>(bins_.count));
    const V place = hn::MulAdd(x, hn::Set(d, bins_.scale), hn::Set(d, -bins_.low * bins_.scale));
    if constexpr (!kHasWidth) {
      const V floor = hn::Floor(place);
      const V above = hn::Sub(place, floor);
      const auto inside = hn::And(hn::Ge(place, hn::Zero(d)), hn::Lt(place, count));
      const auto sure = hn::And(inside, hn::And(hn::Gt(above, hn::Set(d, unsure_)),
                                                hn::Lt(above, hn::Set(d, 1.0f - unsure_))));
      if (hn::AllTrue(d, sure)) return hn::Add(hn::ConvertTo(d_index, floor), one);
    }
    // The nearest edge decides. Whole numbers, as counts are, lie on the edges.
    const V edge = hn::Round(hn::Min(hn::Max(place, hn::Zero(d)), count));
    const auto number = hn::ConvertTo(d_index, edge);
    V bound;
    if constexpr (kHasWidth) {
      bound = hn::MulAdd(edge, hn::Set(d, bins_.width), hn::Set(d, bins_.low));
      // The last one is above what is meant.
      bound = hn::IfThenElse(hn::Eq(edge, count), hn::Set(d, bins_.edges[bins_.count]), bound);
    } else {
      bound = hn::GatherIndex(d, bins_.edges, number);
    }
    const auto up = hn::RebindMask(d_index, hn::Ge(x, bound));
    const auto found = hn::IfThenElse(up, hn::Add(number, one), number);
    const auto is_number = hn::RebindMask(d_index, hn::Eq(x, x));
    return hn::IfThenElse(is_number, found,
                          hn::Set(d_index, static_cast<int32_t>(bins_.count + 2)));
  }

 private:
  const UniformBins bins_;
  const float unsure_;
};

void CountF32(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  constexpr D d;
  constexpr hn::Rebind<uint16_t, Index> d_number;
  constexpr hn::RebindToUnsigned<Index> d_unsigned;
  constexpr size_t kBlock = 4096;
  constexpr size_t kPixelsAhead = kBlock;
  const size_t lanes = hn::Lanes(d);
  const BinFinder finder(bins);
  HWY_ALIGN uint16_t numbers[kBlock];
  size_t p = 0;
  while (finder.IsUsable() && p + lanes <= count) {
    const size_t block = std::min(kBlock, (count - p) / lanes * lanes);
    const auto find = [&]<bool kHasWidth>(std::bool_constant<kHasWidth>) HWY_ATTR {
      for (size_t i = 0; i < block; i += lanes) {
        PrefetchToL2(pixels + p + i + kPixelsAhead);
        const auto found = finder.Find<kHasWidth>(hn::LoadU(d, pixels + p + i));
        hn::StoreU(hn::TruncateTo(d_number, hn::BitCast(d_unsigned, found)), d_number, numbers + i);
      }
    };
    if (finder.HasWidth()) {
      find(std::true_type());
    } else {
      find(std::false_type());
    }
    CountValues(numbers, block, counts);
    p += block;
  }
  scalar::CountBins(pixels + p, count - p, bins, counts);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(CountF32);

void CountBins(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountF32)(pixels, count, bins, counts);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
