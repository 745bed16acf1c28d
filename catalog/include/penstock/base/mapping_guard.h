// MappingGuard: a mapped file of which pages may vanish while it is read.
//
// Where somebody cuts a mapped file short, or its disk cannot be read, touching such a page raises
// SIGBUS, which ends the program. In a range that is guarded the page is replaced by zeros and the
// loss noted: whoever reads the mapping asks for it afterwards and throws away what he has made of
// the zeros. Where nothing is lost this costs nothing.
//
//   MappingGuard guard(address, bytes);
//   ... read ...
//   if (guard.lost()) return error;

#ifndef PENSTOCK_BASE_MAPPING_GUARD_H_
#define PENSTOCK_BASE_MAPPING_GUARD_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "penstock/base/error.h"

namespace penstock {

// The first guard of a process installs a handler of SIGBUS; what lies in no guarded range goes on
// to the one that was there. Where somebody else installs a handler later, lost pages are his.
class MappingGuard {
 public:
  MappingGuard() = default;
  // [address, address + bytes): a mapping of a file for reading alone, from the beginning of a page
  // on. It must be unmapped after the guard is gone.
  MappingGuard(const void* address, size_t bytes);
  ~MappingGuard() { Release(); }
  MappingGuard(MappingGuard&& other) noexcept;
  MappingGuard& operator=(MappingGuard&& other) noexcept;
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  // The offset in the range of the first page that was lost so far. Thread-safe. What one thread
  // has read is accounted for in that thread, and in those that it has synchronised with.
  std::optional<uint64_t> lost() const;

  struct Range;  // in the table of the handler

 private:
  void Release();

  Range* range_ = nullptr;
};

// Why a page at `offset` of the file that `fd` reads was lost: kCorrupt for one that has become
// shorter than `expected_bytes`, else the error of reading it, or that it could not be read then.
Error LostPageError(int fd, uint64_t offset, uint64_t expected_bytes,
                    const std::filesystem::path& path_for_errors);

}  // namespace penstock

#endif  // PENSTOCK_BASE_MAPPING_GUARD_H_
