// The memory-bandwidth loop that rates are compared with.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/load_discard.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

uint64_t Discard(const std::byte* bytes, size_t size, ReadPattern) {
  return scalar::LoadAndDiscard(bytes, size);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

template <class D, size_t kStreams>
uint64_t DiscardStreams(D d, const std::byte* bytes, size_t size) {
  const hn::Repartition<uint64_t, D> d64;
  const auto* const from = reinterpret_cast<const uint8_t*>(bytes);
  const size_t lanes = hn::Lanes(d);
  const size_t stream = size / kStreams / lanes * lanes;
  hn::Vec<decltype(d)> seen[kStreams];
  PENSTOCK_UNROLL
  for (size_t s = 0; s < kStreams; ++s) seen[s] = hn::Zero(d);
  for (size_t at = 0; at < stream; at += lanes) {
    PENSTOCK_UNROLL
    for (size_t s = 0; s < kStreams; ++s) {
      seen[s] = hn::Xor(seen[s], hn::LoadU(d, from + s * stream + at));
    }
  }
  auto all = seen[0];
  for (size_t s = 1; s < kStreams; ++s) all = hn::Xor(all, seen[s]);
  HWY_ALIGN uint64_t words[hn::MaxLanes(d64)];
  hn::Store(hn::BitCast(d64, all), d64, words);
  uint64_t result = 0;
  for (size_t i = 0; i < hn::Lanes(d64); ++i) result ^= words[i];
  return result ^ scalar::LoadAndDiscard(bytes + kStreams * stream, size - kStreams * stream);
}

uint64_t Discard(const std::byte* bytes, size_t size, ReadPattern pattern) {
  if (pattern == ReadPattern::kLinear) {
    return DiscardStreams<hn::CappedTag<uint8_t, 32>, 1>({}, bytes, size);
  }
  return DiscardStreams<hn::ScalableTag<uint8_t>, 8>({}, bytes, size);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(Discard);

uint64_t LoadAndDiscard(const std::byte* bytes, size_t size, ReadPattern pattern) {
  return HWY_DYNAMIC_DISPATCH(Discard)(bytes, size, pattern);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
