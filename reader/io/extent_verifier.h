// Verification at first touch: what is read from a store is held against the XXH3-64 of each 4 MiB
// extent of the block file, once per Reader. Data on a mount is not: the cache daemon has done so.

#ifndef PENSTOCK_READER_IO_EXTENT_VERIFIER_H_
#define PENSTOCK_READER_IO_EXTENT_VERIFIER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/dataset.h"
#include "penstock/reader/reduction.h"

namespace penstock {

// Which extents of a dataset are known to be right. Thread-safe.
class ExtentVerifier {
 public:
  // Errors of Dataset::ReadExtentChecksums.
  static Result<std::unique_ptr<ExtentVerifier>> Create(const Dataset& dataset);

  uint64_t Expected(int64_t block, int64_t extent) const;
  bool IsVerified(int64_t block, int64_t extent) const;
  // False where it was so marked before.
  bool MarkVerified(int64_t block, int64_t extent);

 private:
  explicit ExtentVerifier(std::vector<std::vector<uint64_t>> expected);
  size_t Index(int64_t block, int64_t extent) const;

  std::vector<std::vector<uint64_t>> expected_;  // [block][extent]
  std::vector<size_t> first_;                    // of each block, in verified_
  std::unique_ptr<std::atomic<bool>[]> verified_;
};

// Follows the bytes of one partition as they are read. An extent that reaches into the next
// partition is verified here, with bytes that are read for it alone; one that has begun in the
// partition before was verified there, which every pass merges first. Not thread-safe.
class ExtentCheck {
 public:
  explicit ExtentCheck(ExtentVerifier* verifier) : verifier_(verifier) {}  // null: nothing is done

  struct Source {
    uint64_t file_bytes = 0;
    uint64_t payload_start = 0;  // nobody reads what is in front of it
    // For errors.
    std::function<FrameRange(int64_t extent)> frames_of_extent{};
    int fd = -1;  // buffered
    const std::filesystem::path* path = nullptr;
    uint64_t begin = 0;  // offsets in the file
    uint64_t end = 0;
  };
  // `alone`: there is no pass that verifies the extent in which the partition begins.
  void Begin(int64_t block, const Source& source, bool alone);
  // Offset up to which bytes are of use: the end of the extent that reaches into the next partition
  // where that is verified here, otherwise the end of the partition.
  uint64_t wanted_end() const;
  // After Begin: Update gets the bytes up to `end`, at least those of the partition and at most up
  // to wanted_end(); what else is needed is read through `fd`, opened with O_DIRECT, where that is
  // not negative: the page cache would read ahead what nobody wants from it.
  void ReadDirect(int fd, uint64_t end);
  // The next bytes of the partition; after the last ones it is verified as a whole. kCorrupt names
  // file, extent and frames.
  Status Update(std::span<const std::byte> bytes);

  // True while there is something to verify in this partition.
  bool active() const { return active_; }
  int64_t verified_count() const { return verified_count_; }  // extents, over all partitions

 private:
  Status EnterExtent(uint64_t from);
  Status Close();
  Status Hash(uint64_t begin, uint64_t end);  // of the file
  Result<std::span<const std::byte>> ReadPart(uint64_t begin, uint64_t end);
  uint64_t ExtentEnd() const;

  ExtentVerifier* const verifier_;
  Source source_;
  int64_t block_ = -1;
  int64_t first_ = 0;  // extents of this partition
  bool active_ = false;
  int64_t extent_ = -1;  // the one that position_ lies in, -1 before the first
  bool wanted_ = false;  // whether it is being hashed
  uint64_t position_ = 0;
  ExtentHasher hasher_;
  int direct_fd_ = -1;
  uint64_t update_end_ = 0;  // that Update gets to
  AlignedBuffer scratch_;
  int64_t verified_count_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_EXTENT_VERIFIER_H_
