// FuseSession: the mounted file system and the threads that take requests from the kernel.
//
// Not thread-safe, but for RequestStop and RequestPause.

#ifndef PENSTOCK_CACHEFS_FUSE_SESSION_H_
#define PENSTOCK_CACHEFS_FUSE_SESSION_H_

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "cachefs/fuse/kernel_channel.h"
#include "cachefs/fuse/operations.h"
#include "cachefs/handover/mount_state.h"
#include "cachefs/sight/busy_threads.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class FuseSession {
 public:
  // Mounts read-only; for every user where the daemon is root, otherwise for its own.
  static Result<std::unique_ptr<FuseSession>> Mount(const std::filesystem::path& mountpoint,
                                                    Operations& operations, KernelChannel& channel);
  // Goes on with a mount that another process began and does not serve any more; `fuse` is its
  // descriptor. The mount is not unmounted before Own.
  static Result<std::unique_ptr<FuseSession>> Adopt(const std::filesystem::path& mountpoint,
                                                    Operations& operations, KernelChannel& channel,
                                                    FileDescriptor fuse, const MountState& state);
  // Unmounts where Serve has not, unless it is another's mount.
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // The mount is ours from now on, or (Disown) another's.
  void Own() { mounted_ = true; }
  void Disown() { mounted_ = false; }

  enum class Ending {
    kUnmounted,  // by RequestStop or from outside
    kPaused,     // by RequestPause: mounted, and requests wait in the kernel
  };
  // Takes requests on `threads` threads until one of these; after a pause it can be called again.
  Ending Serve(int threads);
  // Any thread, any time.
  void RequestStop();
  void RequestPause();
  // Another descriptor of the connection to the kernel.
  Result<FileDescriptor> Duplicate() const;
  // False while every thread has been at one request for longer than `longest`: requests wait for
  // nobody, so that is a deadlock or a dead disk. Any thread.
  bool AnswersWithin(std::chrono::seconds longest) const {
    return busy_.AnyFreeSince(BusyThreads::Clock::now() - longest);
  }

 private:
  FuseSession() = default;
  static Result<std::unique_ptr<FuseSession>> Make(const std::filesystem::path& mountpoint,
                                                   Operations& operations, KernelChannel& channel);
  void TakeRequests(BusyThreads::Thread& self);
  void Unmount();

  std::filesystem::path mountpoint_;
  SessionUserdata userdata_;
  Operations* operations_ = nullptr;
  fuse_session* session_ = nullptr;
  FileDescriptor stop_;     // eventfd: unmount
  FileDescriptor pause_;    // eventfd: stop taking requests
  FileDescriptor threads_;  // eventfd: the threads end
  bool mounted_ = false;
  std::atomic<bool> pausing_{false};
  BusyThreads busy_;
};

// Takes a mount away, files that are open detached; for the mounts of daemons that cannot go on.
void Unmount(const std::filesystem::path& mountpoint);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_SESSION_H_
