// AlignedVector: a std::vector whose values begin with a cache line, as accumulators and masks of
// the kernels should: a vector that lies across two lines is loaded and stored at half the rate.

#ifndef PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_
#define PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_

#include <cstddef>
#include <new>
#include <vector>

namespace penstock::kernels {

template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>& /*other*/) {}  // as allocators convert

  T* allocate(size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), kAlignment));
  }
  void deallocate(T* values, size_t /*count*/) { ::operator delete(values, kAlignment); }

  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) { return true; }
};

template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_
