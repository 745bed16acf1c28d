// StoreMemory: what the store was seen to hold, for when it is away: attributes and targets of
// names, listings of directories, and contents of the small files that the daemon itself reads. A
// RocksDB of its own in the cache directory.
//
// It is never believed while the store answers, and holds nothing that the store does not tell
// again: a lost or damaged one costs nothing but what could have been shown without the store.
// Bounded: where it grows beyond its limit, what was not seen for longest goes.
//
// Keep... and Forget return at once; a thread of its own writes down what differs from what is
// written already, without syncing: a killed daemon loses a moment, a power loss what the kernel
// had not written. What is read has everything in it that was kept before. Thread-safe.

#ifndef PENSTOCK_CACHEFS_STATE_STORE_MEMORY_H_
#define PENSTOCK_CACHEFS_STATE_STORE_MEMORY_H_

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct StoreMemoryLimits {
  uint64_t total_bytes = uint64_t{512} << 20;
  uint64_t file_bytes = uint64_t{64} << 20;       // larger files are not kept
  uint64_t unwritten_bytes = uint64_t{96} << 20;  // what comes while so much waits is not kept
};

class StoreMemory {
 public:
  // What is there of another store than `store` (Upstream::Name) is forgotten.
  static Result<std::unique_ptr<StoreMemory>> Open(const std::filesystem::path& directory,
                                                   const std::string& store,
                                                   const StoreMemoryLimits& limits = {});
  // Writes what is not written yet.
  ~StoreMemory();
  StoreMemory(const StoreMemory&) = delete;
  StoreMemory& operator=(const StoreMemory&) = delete;

  void KeepStatus(const std::string& path, const struct stat& status);
  void KeepEntries(const std::string& path, const std::vector<DirectoryEntry>& entries);
  void KeepTarget(const std::string& path, const std::string& target);
  // The whole contents of a regular file in the state that `identity` names.
  void KeepContents(const std::string& path, const FileIdentity& identity, std::string_view bytes);
  // The store was asked and does not have it: forgets it and all below.
  void Forget(const std::string& path);

  // Whether the attributes were kept lately; false does not mean that they are not there.
  bool HasStatus(const std::string& path) const;

  // Nothing where it is not remembered.
  std::optional<struct stat> StatusOf(const std::string& path);
  // The last listing, with what was seen in the directory since; or, of one that was never listed,
  // what was seen in it.
  std::optional<std::vector<DirectoryEntry>> EntriesOf(const std::string& path);
  std::optional<std::string> TargetOf(const std::string& path);
  std::optional<std::string> ContentsOf(const std::string& path, const FileIdentity& identity);

  // Whether anything but the root is remembered.
  bool empty();

  // False where it is not written after `patience`: the disk hangs.
  bool WaitWritten(std::chrono::milliseconds patience) const;
  size_t unwritten() const;

 private:
  struct State;
  explicit StoreMemory(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_STORE_MEMORY_H_
