#include "penstock/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

namespace penstock {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Result<AlignedBuffer> AlignedBuffer::Allocate(size_t bytes) {
  AlignedBuffer buffer;
  if (bytes == 0) return buffer;
  const bool huge = bytes >= kHugePage;
  const size_t size = RoundUp(bytes, huge ? kHugePage : kDirectIoAlignment);
  // Over-allocate by one huge page and unmap the ends, so that the start is 2 MiB aligned.
  const size_t mapped = huge ? size + kHugePage : size;
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    return Error::FromErrno(errno, "cannot map a buffer of " + std::to_string(size) + " bytes");
  }
  auto* start = static_cast<std::byte*>(base);
  if (huge) {
    const auto address = reinterpret_cast<uintptr_t>(base);
    const size_t before = RoundUp(address, kHugePage) - address;
    if (before != 0) munmap(start, before);
    const size_t after = kHugePage - before;
    if (after != 0) munmap(start + before + size, after);
    start += before;
    madvise(start, size, MADV_HUGEPAGE);  // advice: small pages work as well
  }
  buffer.data_ = start;
  buffer.size_ = size;
  return buffer;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace penstock
