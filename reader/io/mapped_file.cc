#include "reader/io/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older headers lack it
#endif

namespace penstock {

namespace {

constexpr uint64_t kPage = 4096;
constexpr int kProbes = 16;
constexpr uint64_t kPagesAtOnce = 4096;

uint64_t ProbeOffset(uint64_t begin, uint64_t end, int probe) {
  return (begin + (end - begin) / kProbes * static_cast<uint64_t>(probe)) / kPage * kPage;
}

}  // namespace

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      path_(std::move(other.path_)),
      guard_(std::move(other.guard_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    Unmap();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    path_ = std::move(other.path_);
    guard_ = std::move(other.guard_);
  }
  return *this;
}

void MappedFile::Unmap() {
  guard_ = MappingGuard();
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), bytes_);
  data_ = nullptr;
}

Result<MappedFile> MappedFile::Map(int fd, uint64_t bytes,
                                   const std::filesystem::path& path_for_errors) {
  void* const address = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    return Error::FromErrno(errno, "cannot map the block").In(path_for_errors.string());
  }
  MappedFile mapped;
  mapped.data_ = static_cast<const std::byte*>(address);
  mapped.bytes_ = bytes;
  mapped.path_ = path_for_errors;
  mapped.guard_ = MappingGuard(address, bytes);
  madvise(address, bytes, MADV_HUGEPAGE);  // advice only: file systems without huge pages refuse it
  return mapped;
}

Status MappedFile::Populate(uint64_t begin, uint64_t end) {
  const uint64_t first = begin / kPage * kPage;
  auto* const address = const_cast<std::byte*>(data_) + first;
  int failure = 0;
  do {
    failure = madvise(address, end - first, MADV_POPULATE_READ) == 0 ? 0 : errno;
  } while (failure == EINTR || failure == EAGAIN);
  // EINVAL: a kernel that doesn't know the advice; the pages come when they are touched.
  if (failure == 0 || failure == EINVAL) return Status::Ok();
  return Error::FromErrno(failure == EFAULT ? EIO : failure, "cannot read the mapped block")
      .In(path_.string())
      .AtOffset(first);
}

double MappedFile::ResidentShare(uint64_t begin, uint64_t end) const {
  int resident = 0;
  for (int probe = 0; probe < kProbes; ++probe) {
    unsigned char present = 0;
    auto* const page = const_cast<std::byte*>(data_) + ProbeOffset(begin, end, probe);
    if (mincore(page, kPage, &present) == 0 && (present & 1) != 0) ++resident;
  }
  return static_cast<double>(resident) / kProbes;
}

bool MappedFile::IsResident(uint64_t begin, uint64_t end) const {
  std::array<unsigned char, kPagesAtOnce> present;
  for (uint64_t at = begin / kPage * kPage; at < end; at += kPagesAtOnce * kPage) {
    const uint64_t length = std::min(end - at, kPagesAtOnce * kPage);
    if (mincore(const_cast<std::byte*>(data_) + at, length, present.data()) != 0) return false;
    const auto pages = static_cast<ptrdiff_t>((length + kPage - 1) / kPage);
    if (std::any_of(present.begin(), present.begin() + pages,
                    [](unsigned char page) { return (page & 1) == 0; })) {
      return false;
    }
  }
  return true;
}

}  // namespace penstock
