// Counting float values in bins of one width.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/bin_counts.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
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

// Neighbours often have one value: the additions go to tables of their own in turn, and do not wait
// for one another. Emptying and adding up the tables has to pay.
inline constexpr size_t kTables = 4;

void CountF32(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> d_index;
  const size_t lanes = hn::Lanes(d);
  const auto low = hn::Set(d, bins.low);
  const auto scale = hn::Set(d, bins.scale);
  const auto last = hn::Set(d, static_cast<float>(bins.count));
  // A place this far from a whole number is on the right side of it: the difference, the product,
  // the scale and the lower bound are each rounded to 24 bits.
  const auto safe = hn::Set(
      d, 4.8e-7f * static_cast<float>(bins.count) + 1.2e-7f * std::abs(bins.low) * bins.scale);
  const auto one = hn::Set(d, 1.0f);
  HWY_ALIGN int32_t index[hn::MaxLanes(d)];
  constexpr size_t kLargestTable = 4096;
  const size_t table = bins.count + 3;
  std::array<uint32_t, kTables * kLargestTable> storage;
  // Emptying the tables and adding them up has to pay.
  const bool spread = table <= kLargestTable && count >= kTables * table;
  if (spread) std::fill_n(storage.begin(), kTables * table, 0u);
  size_t p = 0;
  for (; p + lanes <= count; p += lanes) {
    const auto x = hn::LoadU(d, pixels + p);
    const auto place = hn::Mul(hn::Sub(x, low), scale);
    const auto floor = hn::Floor(place);
    const auto above = hn::Sub(place, floor);
    const auto inside = hn::And(hn::Ge(place, hn::Zero(d)), hn::Lt(place, last));
    const auto sure =
        hn::And(inside, hn::And(hn::Gt(above, safe), hn::Lt(above, hn::Sub(one, safe))));
    if (!hn::AllTrue(d, sure)) {
      scalar::CountBins(pixels + p, lanes, bins, counts);
      continue;
    }
    hn::Store(hn::ConvertTo(d_index, floor), d_index, index);
    if (spread) {
      for (size_t i = 0; i < lanes; ++i) {
        ++storage[(i % kTables) * table + static_cast<size_t>(index[i]) + 1];
      }
    } else {
      for (size_t i = 0; i < lanes; ++i) ++counts[static_cast<size_t>(index[i]) + 1];
    }
  }
  for (size_t t = 0; spread && t < kTables; ++t) {
    for (size_t i = 0; i < table; ++i) counts[i] += storage[t * table + i];
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
