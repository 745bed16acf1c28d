// AlignedVector: a std::vector whose values begin with a cache line, as accumulators and masks of
// the kernels should: a vector that lies across two lines is loaded and stored at half the rate.
// Large ones are in huge pages where the kernel has them.

#ifndef PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_
#define PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <vector>

namespace penstock::kernels {

template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};
  static constexpr std::align_val_t kHugePage{size_t{2} << 20};

  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>& /*other*/) {}  // as allocators convert

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    void* const values = ::operator new(bytes, AlignmentOf(bytes));
    // Advice only.
    if (AlignmentOf(bytes) == kHugePage) madvise(values, bytes, MADV_HUGEPAGE);
    return static_cast<T*>(values);
  }
  void deallocate(T* values, size_t count) {
    ::operator delete(values, AlignmentOf(count * sizeof(T)));
  }

  // Aligning costs addresses, no memory.
  static std::align_val_t AlignmentOf(size_t bytes) {
    return bytes >= static_cast<size_t>(kHugePage) ? kHugePage : kAlignment;
  }

  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) { return true; }
};

template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_ALIGNED_VECTOR_H_
