// How one daemon gives a mount to the next without unmounting it: the conversation of two processes
// over the control socket of the first (penstock/cachefs/control.h), one line of JSON at a time.
//
//   successor                                predecessor
//   1 {"command": "handover", ...}           checks who asks, and for what mount
//   2                                        takes no more requests from the kernel, waits until
//                                            those it has are answered
//   3                          {"phase": "state"} with the FUSE descriptor and the state (a memfd)
//   4 {"phase": "understood"}                has read it and reopened the files of the store
//   5                                        writes its records, closes cache and database
//   6                          {"phase": "released"}, or "leaving" and ends at once
//   7 {"phase": "ready"}                     has opened cache and database, and everything else
//   8                          {"phase": "take"}, and ends
//   9 takes requests from the kernel
//
// Requests wait in the kernel from 2 to 9. Until 8 the predecessor has the mount: where the
// successor refuses, ends or hangs, it serves on (up to 4) or starts itself anew in its process
// from the state that it gave away (up to 8). From 8 on the successor has it. A process that ends
// with the mount takes the connection to the kernel with it: open files give errors then, and
// nothing hangs. "leaving" is said where threads are stuck in the store and only the end of the
// process closes the cache; there is no way back from that.
//
// Both are of one user. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_HANDOVER_HANDOVER_H_
#define PENSTOCK_CACHEFS_HANDOVER_HANDOVER_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "cachefs/handover/mount_state.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/mount.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

// A mount without a daemon.
struct HeldMount {
  FileDescriptor fuse;  // /dev/fuse
  MountState state;
};

// Opens what the state says is open in the store, by the names. What its name does not lead to any
// more answers reads with ESTALE, or is left out where the cache may have it. While the predecessor
// holds its own descriptors, inode numbers cannot have been given to other files. Blocks on the
// store.
StoreFiles ReopenStoreFiles(Upstream& upstream, const MountState& state);

// Whether the request of a successor is for this mount and can be fulfilled.
Status CheckHandoverRequest(const Json& request, const MountOptions& options);

// The next daemon, as the one that serves now sees it.
class Successor {
 public:
  // `pid`: 0 where it is in no namespace of ours.
  Successor(FileDescriptor socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}

  pid_t pid() const { return pid_; }
  void Refuse(const Error& why);
  // Waits until the successor has understood.
  Status Offer(const HeldMount& mount);
  // Everything is closed. Waits until the successor is ready, calls `before` and lets it take the
  // mount. After an error it has not taken it; one that hung has been killed.
  Status Release(const std::function<void()>& before);
  // The caller ends its process now.
  void Leave();

 private:
  FileDescriptor socket_;
  const pid_t pid_;
};

// The daemon that serves now, as the next one sees it.
class Predecessor {
 public:
  static Result<std::unique_ptr<Predecessor>> Ask(const MountOptions& options);

  // Waits for the mount's state; the longest part of it is what the store takes to answer.
  Result<HeldMount> Receive();
  // Waits until cache and database are free.
  Status Understood();
  // After this the mount is ours.
  Status Take();

 private:
  Predecessor(FileDescriptor socket, pid_t pid, std::chrono::milliseconds upstream_timeout)
      : socket_(std::move(socket)), pid_(pid), upstream_timeout_(upstream_timeout) {}

  FileDescriptor socket_;
  const pid_t pid_;
  const std::chrono::milliseconds upstream_timeout_;
  bool has_left_ = false;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_HANDOVER_HANDOVER_H_
