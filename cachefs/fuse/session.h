// FuseSession: the mounted file system and the threads that take requests from the kernel.
//
// Not thread-safe, but for RequestStop.

#ifndef PENSTOCK_CACHEFS_FUSE_SESSION_H_
#define PENSTOCK_CACHEFS_FUSE_SESSION_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "cachefs/fuse/kernel_channel.h"
#include "cachefs/fuse/operations.h"
#include "cachefs/sight/busy_threads.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class FuseSession {
 public:
  // Mounts read-only; for every user where the daemon is root, otherwise for its own.
  static Result<std::unique_ptr<FuseSession>> Mount(const std::filesystem::path& mountpoint,
                                                    Operations& operations, KernelChannel& channel);
  // Unmounts where Serve has not.
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Takes requests on `threads` threads until RequestStop or an unmount from outside; then the file
  // system is not mounted any more.
  void Serve(int threads);
  // Any thread, any time.
  void RequestStop();
  // False while every thread has been at one request for longer than `longest`: requests wait for
  // nobody, so that is a deadlock or a dead disk. Any thread.
  bool AnswersWithin(std::chrono::seconds longest) const {
    return busy_.AnyFreeSince(BusyThreads::Clock::now() - longest);
  }

 private:
  FuseSession() = default;
  void TakeRequests(BusyThreads::Thread& self);
  void Unmount();

  std::filesystem::path mountpoint_;
  SessionUserdata userdata_;
  Operations* operations_ = nullptr;
  fuse_session* session_ = nullptr;
  FileDescriptor stop_;     // eventfd: unmount
  FileDescriptor threads_;  // eventfd: the threads end
  bool mounted_ = false;
  BusyThreads busy_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_SESSION_H_
