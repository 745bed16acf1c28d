// How often each of a few small values occurs: every value becomes one bit of a byte, and the bits
// of many bytes are added up place by place, in carry-save form. Included once per instruction set.

#if defined(PENSTOCK_READER_KERNELS_BYTE_COUNTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_BYTE_COUNTS_INL_H_
#undef PENSTOCK_READER_KERNELS_BYTE_COUNTS_INL_H_
#else
#define PENSTOCK_READER_KERNELS_BYTE_COUNTS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

// Counts bytes that are below 8 * kMostSlices. A slice is the eight values that share a byte.
template <unsigned kMostSlices>
class ByteCounts {
 public:
  static constexpr size_t kVectors = 16;     // of bytes, that are taken together
  static constexpr uint8_t kNoValue = 0xff;  // of bytes that are not to be counted

  // kVectors vectors of bytes, each kNoValue or below 8 * slices; slices <= kMostSlices.
  HWY_INLINE void Add(const uint8_t* bytes, unsigned slices) {
    for (unsigned slice = 0; slice < slices; ++slice) AddSlice(bytes, slice, slices > 2);
  }

  // counts[v] += how often v has occurred; begins anew.
  void Empty(uint32_t* counts) {
    const hn::ScalableTag<uint8_t> d;
    for (unsigned slice = 0; slice < kMostSlices; ++slice) {
      for (unsigned level = 0; level < kLevels; ++level) {
        uint8_t* const carried = carried_[slice][level].data();
        AddBits(hn::LoadU(d, carried), 1u << level, totals_ + size_t{8} * slice);
        hn::StoreU(hn::Zero(d), d, carried);
      }
      for (unsigned v = 8 * slice; v < 8 * slice + 8; ++v) {
        // There may be no counts of values that do not occur.
        if (totals_[v] != 0) counts[v] += totals_[v];
        totals_[v] = 0;
      }
    }
  }

 private:
  static constexpr unsigned kLevels = 4;  // sums of 1, 2, 4 and 8 bits that are carried along
  using Bytes = std::array<uint8_t, hn::MaxLanes(hn::ScalableTag<uint8_t>())>;

  // low + 2 * high: how many of the three bits are set.
  template <class V>
  static HWY_INLINE void AddThree(V& high, V& low, V a, V b, V c) {
    const V either = hn::Xor(a, b);
    high = hn::Or(hn::And(a, b), hn::And(either, c));
    low = hn::Xor(either, c);
  }

  template <class V>
  static HWY_INLINE void AddBits(V bits, uint32_t weight, uint32_t* totals) {
    const hn::DFromV<V> d;
    const hn::RebindToSigned<decltype(d)> d_signed;
    for (int bit = 7; bit >= 0; --bit) {
      const auto set = hn::Lt(hn::BitCast(d_signed, bits), hn::Zero(d_signed));
      totals[bit] += weight * static_cast<uint32_t>(hn::CountTrue(d_signed, set));
      bits = hn::Add(bits, bits);
    }
  }

  // `far`: there are bytes that no table reaches.
  HWY_INLINE void AddSlice(const uint8_t* bytes, unsigned slice, bool far) {
    static constexpr uint8_t kLowerBits[16] = {1, 2, 4, 8, 16, 32, 64, 128};
    static constexpr uint8_t kUpperBits[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128};
    const hn::ScalableTag<uint8_t> d;
    using V = hn::Vec<decltype(d)>;
    const size_t lanes = hn::Lanes(d);
    const V table = hn::LoadDup128(d, slice % 2 == 0 ? kLowerBits : kUpperBits);
    const V base = hn::Set(d, static_cast<uint8_t>(slice / 2 * 16));
    const V beyond = hn::Set(d, uint8_t{0x70});
    const V index = hn::Set(d, uint8_t{0x8f});
    const auto bit = [&](size_t i) HWY_ATTR {
      V value = hn::LoadU(d, bytes + i * lanes);
      // Those that are not of this table are looked up where there is nothing.
      if (far) value = hn::And(hn::SaturatedAdd(hn::Xor(value, base), beyond), index);
      return hn::TableLookupBytesOr0(table, value);
    };
    uint8_t* const carried[kLevels] = {carried_[slice][0].data(), carried_[slice][1].data(),
                                       carried_[slice][2].data(), carried_[slice][3].data()};
    V ones = hn::LoadU(d, carried[0]);
    V twos = hn::LoadU(d, carried[1]);
    V fours = hn::LoadU(d, carried[2]);
    V eights = hn::LoadU(d, carried[3]);
    V two[2] = {ones, ones};
    V four[2] = {ones, ones};
    V eight[2] = {ones, ones};
    V sixteens = ones;
    for (size_t i = 0; i < kVectors; i += 8) {
      for (size_t j = 0; j < 2; ++j) {
        const size_t at = i + 4 * j;
        AddThree(two[0], ones, ones, bit(at), bit(at + 1));
        AddThree(two[1], ones, ones, bit(at + 2), bit(at + 3));
        AddThree(four[j], twos, twos, two[0], two[1]);
      }
      AddThree(eight[i / 8], fours, fours, four[0], four[1]);
    }
    AddThree(sixteens, eights, eights, eight[0], eight[1]);
    hn::StoreU(ones, d, carried[0]);
    hn::StoreU(twos, d, carried[1]);
    hn::StoreU(fours, d, carried[2]);
    hn::StoreU(eights, d, carried[3]);
    AddBits(sixteens, 16, totals_ + size_t{8} * slice);
  }

  std::array<std::array<Bytes, kLevels>, kMostSlices> carried_{};
  uint32_t totals_[size_t{8} * kMostSlices] = {};
};

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
