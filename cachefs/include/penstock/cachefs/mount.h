// Mounting a store through a local cache: the daemon behind `penstock mount`.

#ifndef PENSTOCK_CACHEFS_MOUNT_H_
#define PENSTOCK_CACHEFS_MOUNT_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// Disk space to be left free: bytes, or a part of the disk and of its inodes.
struct SpaceReserve {
  uint64_t bytes = 0;
  double percent = 10;
};

// What monitoring gets without asking; all of it is off by default.
struct SightOptions {
  std::string metrics_address;             // "ADDRESS:PORT" for Prometheus; an ADDRESS is 127.0.0.1
                                           // unless it is named
  std::filesystem::path metrics_file;      // the same for node_exporter's textfile collector
  std::filesystem::path access_log;        // a line of JSON per open
  uint64_t access_log_bytes = UINT64_MAX;  // then it is rotated
};

// Sharing caches with other nodes, so that together they read the store once. Off without members.
struct PeerOptions {
  std::filesystem::path members;  // the list of all nodes, "HOST:PORT" each
  std::filesystem::path key;      // the secret that they share
  std::string listen;             // "ADDRESS:PORT"; "": this node asks others and serves none
  std::string name;               // this node in the list, where that is not `listen`
  std::chrono::milliseconds silence{2'000};  // after which a peer is taken to be dead
};

// Reading the replicas again from the disk, to find what the disk has lost.
struct ScrubOptions {
  uint64_t bytes_per_second = uint64_t{50} << 20;           // 0: as fast as the disk
  std::chrono::seconds every{std::chrono::hours(24 * 30)};  // from begin to begin; 0: on demand
};

struct MountOptions {
  std::string store;         // a directory, or an address that MakeUpstream takes
  std::string given_store;   // set by CheckMountOptions: as it was named, absolute
  UpstreamOptions upstream;  // its timeout is upstream_timeout
  std::filesystem::path mountpoint;
  std::filesystem::path cache;
  // Take the mount over from the daemon that serves it now; what is open in it goes on.
  bool replace = false;
  uint64_t cache_bytes = UINT64_MAX;
  SpaceReserve reserve;
  std::chrono::milliseconds upstream_timeout{30'000};
  // A file that is no block and changed less than this ago is read through to the store and not
  // kept: it may still be being written.
  std::chrono::milliseconds settle_time{10'000};
  // How long the kernel may believe names and attributes of files in large directories that have
  // not changed lately (docs/cachefs.md); a second or less: no longer than those of others.
  std::chrono::milliseconds attribute_timeout{30'000};
  ScrubOptions scrub;
  bool passthrough = true;
  bool faces = true;      // each dataset also shows contiguous files (docs/cachefs.md)
  int fetch_threads = 0;  // reads of the store at once; 0: as the kind of store needs
  // How many blocks are fetched ahead of one who opens the blocks of a dataset in order.
  int read_ahead_blocks = 2;
  // Of what was fetched last, in memory: as far as fetches run ahead of a reader in order.
  uint64_t recent_bytes = uint64_t{128} << 20;
  SightOptions sight;
  PeerOptions peers;
};

// What the owner of a mount may do with it while it runs; every function is thread-safe.
struct MountHandle {
  // Log files have been moved away: the access log is opened by its name again.
  std::function<void()> reopen_logs;
  // Whether the threads that answer the kernel and the control socket do their work. Waits for the
  // lock of the cache, so a caller of a daemon in a deadlock is not answered either; never waits
  // for the store.
  std::function<bool()> alive;
  // One line for people.
  std::function<std::string()> describe;
};

enum class MountEnding { kUnmounting, kHandingOver };

// Called from threads of RunMount. A mount that could not be handed over becomes ready again.
struct MountEvents {
  std::function<void(const MountHandle&)> ready;  // the mount answers
  // The handle must not be used after this returns.
  std::function<void(MountEnding)> ending;
  // The process that serves the mount from the return of this on.
  std::function<void(pid_t)> successor;
  // The mount has ended as RunMount would return it, but threads hang in the store or the cache
  // disk, which would run into what the end of a process takes apart: it ends by _exit, here or
  // when this returns.
  std::function<void(const Status&)> stuck;
};

// Resolves the paths and refuses what cannot work: a directory or mountpoint that does not exist, a
// mountpoint with something in it (unless the mount there is to be replaced), cache, store and
// mountpoint inside one another. A store that is away is none of these where the cache was used for
// it before. A mountpoint that a killed daemon left behind is cleared.
Result<MountOptions> CheckMountOptions(const MountOptions& options);

// Mounts, calls `events.ready` once the mount answers, and serves until `stop` is requested, the
// file system is unmounted from outside, or another daemon replaces this one. Otherwise it leaves
// nothing mounted when it returns; files that are still open are detached. Takes options from
// CheckMountOptions. Blocks; one mount per process. Does not return where `events.stuck`.
Status RunMount(const MountOptions& options, const std::stop_token& stop,
                const MountEvents& events);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_MOUNT_H_
