// CacheDirectory: the directory on the local disk that holds the replicas, and its lock.
//
//   penstock-cache.json     marks the directory as ours; nothing is ever removed without it
//   blocks/<2>/<id>         replicas; <id> names dataset path, generation and block
//                           (block_source.h)
//   sidecars/               copies of the small files that the verification needs
//   state/                  RocksDB (state/replica_store.h)
//   memory/                 RocksDB: what the store was seen to hold (state/store_memory.h)
//   known-store.json        which store it is (daemon/known_store.h)
//   quarantine/             replicas and extents that were found damaged, the last few
//   policy.json             pins and quotas (policy/cache_policy.h)
//   lock, control.sock, short-circuit.sock, penstock.log
//
// Replicas that are handed out are opened through a private read-only mount of the directory, so
// that no descriptor leads back to a writable file. Thread-safe after Open.

#ifndef PENSTOCK_CACHEFS_CACHE_CACHE_DIRECTORY_H_
#define PENSTOCK_CACHEFS_CACHE_CACHE_DIRECTORY_H_

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class CacheDirectory {
 public:
  // Creates what is missing. kBusy where another daemon holds the directory, kInvalidArgument where
  // it has other contents.
  static Result<CacheDirectory> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path StatePath() const { return path_ / "state"; }
  std::filesystem::path PolicyPath() const { return path_ / "policy.json"; }
  std::filesystem::path MemoryPath() const { return path_ / "memory"; }
  std::filesystem::path SidecarPath() const { return path_ / "sidecars"; }
  std::filesystem::path BlockPath(const std::string& id) const;

  // Opens or creates a replica for filling, exactly `bytes` long (sparse), mode 0600.
  Result<FileDescriptor> OpenForFilling(const std::string& id, uint64_t bytes) const;
  // The mode of a replica that is complete, and of a block synced too; taken back before it is
  // opened for filling again.
  static constexpr mode_t kSealedMode = 0400;
  bool IsSealed(const std::string& id) const;
  // Opens a replica that is complete, for handing out.
  Result<FileDescriptor> OpenReadOnly(const std::string& id) const;
  // For looking at what the disk has, past the page cache where the file system allows it.
  Result<FileDescriptor> OpenForChecking(const std::string& id) const;
  Status Remove(const std::string& id) const;
  // Takes a replica out of use without giving its place on the disk free: it may be bad there.
  // Keeps the last few.
  Status Quarantine(const std::string& id) const;
  // The same for one extent that was damaged, as evidence.
  Status KeepEvidence(const std::string& id, int64_t extent,
                      std::span<const std::byte> bytes) const;

  // Calls `visit` with the ids of the replica files of one folder after another, until it returns
  // false. Lists names only: looking at a million files takes minutes where the disk is cold.
  Status ForEachFolder(const std::function<bool(const std::vector<std::string>& ids)>& visit) const;
  // Of the disk; nothing where there is no such replica file.
  std::optional<uint64_t> AllocatedBytes(const std::string& id) const;

  struct Space {
    uint64_t total_bytes = 0;
    uint64_t available_bytes = 0;
    uint64_t total_files = 0;  // 0: the file system does not count
    uint64_t available_files = 0;
  };
  Result<Space> DiskSpace() const;

  // Whether the disk takes bytes and gives them back: writes, syncs and reads a small file.
  Status Probe() const;

  bool has_read_only_view() const { return view_.valid(); }
  // Why there is no read-only view; "" where there is one.
  const std::string& view_failure() const { return view_failure_; }

 private:
  CacheDirectory() = default;
  void MakeReadOnlyView();

  std::filesystem::path path_;
  FileDescriptor lock_;
  FileDescriptor view_;  // root of the private read-only mount
  std::string view_failure_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_CACHE_DIRECTORY_H_
