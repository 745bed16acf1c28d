// MappedWindow: a long stretch of a file in the page cache, mapped once for many pieces of it, so
// that the kernel can map large pages and has to unmap once.

#ifndef PENSTOCK_INGEST_READ_AHEAD_MAPPED_WINDOW_H_
#define PENSTOCK_INGEST_READ_AHEAD_MAPPED_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "penstock/base/mapping_guard.h"

namespace penstock::ingest {

// Thread-safe after Map.
class MappedWindow {
 public:
  // A window that begins shortly before `offset` and holds at least `bytes` from there on, as far
  // as the file goes. Null where the file cannot be mapped. The descriptor must be open during the
  // call only.
  static std::shared_ptr<const MappedWindow> Map(int fd, uint64_t offset, uint64_t bytes);
  ~MappedWindow();
  MappedWindow(const MappedWindow&) = delete;
  MappedWindow& operator=(const MappedWindow&) = delete;

  bool Holds(uint64_t offset, uint64_t bytes) const {
    return offset >= offset_ && offset + bytes <= offset_ + bytes_;
  }
  // The bytes at `offset` of the file; the window must hold them. They are mapped as they are
  // touched: to ask for that beforehand takes the kernel longer, page by page.
  std::span<const std::byte> At(uint64_t offset, uint64_t bytes) const;
  // The offset in the file of the first page that could not be read when it was touched, so far.
  std::optional<uint64_t> lost() const;

 private:
  MappedWindow(void* address, uint64_t offset, uint64_t bytes);

  void* const address_;
  const uint64_t offset_;
  const uint64_t bytes_;
  MappingGuard guard_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_READ_AHEAD_MAPPED_WINDOW_H_
