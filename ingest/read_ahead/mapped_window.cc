#include "ingest/read_ahead/mapped_window.h"

#include <sys/mman.h>

#include <algorithm>

namespace penstock::ingest {

namespace {

// Windows begin with a large page, of which the kernel then aligns the address, too.
constexpr uint64_t kLargePage = uint64_t{2} << 20;
constexpr uint64_t kWindowBytes = uint64_t{64} << 20;

}  // namespace

MappedWindow::MappedWindow(void* address, uint64_t offset, uint64_t bytes)
    : address_(address), offset_(offset), bytes_(bytes), guard_(address, bytes) {}

MappedWindow::~MappedWindow() {
  guard_ = MappingGuard();
  munmap(address_, bytes_);
}

std::shared_ptr<const MappedWindow> MappedWindow::Map(int fd, uint64_t offset, uint64_t bytes) {
  const uint64_t begin = offset / kLargePage * kLargePage;
  // What lies behind the end of the file is not touched.
  const uint64_t length = std::max(kWindowBytes, offset + bytes - begin);
  void* const address = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(begin));
  if (address == MAP_FAILED) return nullptr;
  madvise(address, length, MADV_HUGEPAGE);  // advice only
  return std::shared_ptr<const MappedWindow>(new MappedWindow(address, begin, length));
}

std::span<const std::byte> MappedWindow::At(uint64_t offset, uint64_t bytes) const {
  return {static_cast<const std::byte*>(address_) + (offset - offset_), bytes};
}

std::optional<uint64_t> MappedWindow::lost() const {
  const auto lost = guard_.lost();
  return lost ? std::optional(offset_ + *lost) : std::nullopt;
}

}  // namespace penstock::ingest
