// MappedBlocks: block files that stay mapped from one pass to the next.
//
// To enter a file's pages into the page table takes longer than to read them where the page cache
// holds them as single pages, as most file systems do: passes over a mapping that is still there
// are three times as fast then, and a tenth faster where the pages are huge.

#ifndef PENSTOCK_READER_IO_MAPPED_BLOCKS_H_
#define PENSTOCK_READER_IO_MAPPED_BLOCKS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "reader/io/mapped_file.h"

namespace penstock {

// A mapped block file, and what of it has been brought into the page table. Thread-safe.
class MappedBlock {
 public:
  explicit MappedBlock(MappedFile mapped);

  const std::byte* data() const { return mapped_.data(); }
  double ResidentShare(uint64_t begin, uint64_t end) const {
    return mapped_.ResidentShare(begin, end);
  }
  std::optional<uint64_t> lost() const { return mapped_.lost(); }  // as MappedFile has it

  // After it the range can be touched without reading from the disk. Does nothing where that was
  // done before and no page has gone since. Errors of MappedFile::Populate.
  Status Bring(uint64_t begin, uint64_t end);

 private:
  bool IsBrought(uint64_t begin, uint64_t end) const;

  MappedFile mapped_;
  // Per kUnit bytes: whether it was brought in once.
  std::vector<std::atomic<bool>> brought_;
};

// The blocks of one dataset. Thread-safe. A block is given back when the last of its users and this
// is gone, or its file has been replaced or has lost pages.
class MappedBlocks {
 public:
  // The block of `fd`, whose file is as `identity` says; null where it cannot be mapped.
  std::shared_ptr<MappedBlock> Get(int64_t block, int fd, const FileIdentity& identity,
                                   const std::filesystem::path& path_for_errors);

 private:
  struct Kept {
    FileIdentity identity;
    std::shared_ptr<MappedBlock> mapped;
  };
  std::mutex mutex_;
  std::map<int64_t, Kept> kept_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_MAPPED_BLOCKS_H_
