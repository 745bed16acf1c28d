// Mounting a store through a local cache: the daemon behind `penstock mount`.

#ifndef PENSTOCK_CACHEFS_MOUNT_H_
#define PENSTOCK_CACHEFS_MOUNT_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "penstock/base/result.h"

namespace penstock::cachefs {

// Disk space to be left free: bytes, or a part of the disk.
struct SpaceReserve {
  uint64_t bytes = 0;
  double percent = 10;
};

struct MountOptions {
  std::filesystem::path store;
  std::filesystem::path mountpoint;
  std::filesystem::path cache;
  uint64_t cache_bytes = UINT64_MAX;
  SpaceReserve reserve;
  std::chrono::milliseconds upstream_timeout{30'000};
  bool passthrough = true;
  int fetch_threads = 4;
};

// Resolves the paths and refuses what cannot work: a store or mountpoint that does not exist, a
// mountpoint with something in it, cache, store and mountpoint inside one another. A mountpoint
// that a killed daemon left behind is cleared.
Result<MountOptions> CheckMountOptions(const MountOptions& options);

// Mounts, calls `on_ready` once the mount answers, and serves until `stop` is requested or the file
// system is unmounted from outside. Leaves nothing mounted when it returns; files that are still
// open are detached. Takes options from CheckMountOptions. Blocks; one mount per process.
Status RunMount(const MountOptions& options, const std::stop_token& stop,
                const std::function<void()>& on_ready);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_MOUNT_H_
