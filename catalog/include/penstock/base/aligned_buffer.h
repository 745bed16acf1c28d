// AlignedBuffer: page-aligned, zeroed memory for direct I/O, in huge pages where the kernel has
// them.

#ifndef PENSTOCK_BASE_ALIGNED_BUFFER_H_
#define PENSTOCK_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <span>

#include "penstock/base/result.h"

namespace penstock {

// The alignment that O_DIRECT needs of memory, offsets and lengths on every device we write to.
inline constexpr size_t kDirectIoAlignment = 4096;

// Owns its memory. Not thread-safe.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Maps `bytes`, rounded up to 2 MiB for buffers of 2 MiB or more (transparent huge pages are
  // advised), otherwise to 4 KiB.
  static Result<AlignedBuffer> Allocate(size_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_, size_}; }
  std::span<const std::byte> span() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_BASE_ALIGNED_BUFFER_H_
