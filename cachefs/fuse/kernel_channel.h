// KernelChannel: the two abilities of newer kernels that libfuse before 3.17 does not speak of:
// passthrough (Linux 6.9) and shared mappings of direct_io files (6.6).
//
// With libfuse >= 3.17 the library's own calls are used. With an older one the channel looks at the
// raw packets on their way to and from /dev/fuse and sets the missing fields of two replies (INIT,
// OPEN). Only the kernel's ABI is involved. It also knows which requests are not answered yet, and
// how the kernel began, for handing the connection to another process. Thread-safe after Attach.

#ifndef PENSTOCK_CACHEFS_FUSE_KERNEL_CHANNEL_H_
#define PENSTOCK_CACHEFS_FUSE_KERNEL_CHANNEL_H_

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>

#include "penstock/base/result.h"

namespace penstock::cachefs {

class KernelChannel {
 public:
  explicit KernelChannel(bool want_passthrough) : want_passthrough_(want_passthrough) {}

  // After fuse_session_mount, or with the descriptor of a connection that another process began,
  // and before the first packet. The session was made with a pointer to a SessionUserdata.
  Status Attach(fuse_session* session, int fd);
  // Brings the session to where the kernel's INIT brought that of the other process; the kernel
  // sees nothing of it. `passthrough`: was agreed on then.
  Status Replay(const std::string& init_request, bool passthrough);
  // In the session's init operation.
  void Negotiate(fuse_conn_info* connection);

  // True once the kernel's INIT was answered; the two abilities are known from then on.
  bool handshake_done() const { return handshake_done_.load(std::memory_order_acquire); }
  bool passthrough() const { return passthrough_.load(std::memory_order_acquire); }
  bool maps_direct_files() const { return maps_direct_files_.load(std::memory_order_acquire); }
  // Why passthrough is off; "" while it is on.
  std::string PassthroughFailure() const;

  // The packet that the kernel began with. "" before it, and where the library (3.17 and newer)
  // takes the packets itself: then the connection cannot be handed on.
  std::string init_request() const;
  // Whether the kernel was told of passthrough at its INIT; it is never told again.
  bool agreed_on_passthrough() const { return agreed_on_passthrough_.load(); }
  // True once every request that was read is answered.
  bool WaitUntilAnswered(std::chrono::milliseconds patience);

  // Registers an open, complete file; the descriptor may be closed afterwards.
  Result<int32_t> RegisterBacking(fuse_req_t request, int fd);
  void ReleaseBacking(int32_t backing_id);
  // Answers an open request; `backing_id` > 0 makes it a passthrough open.
  int ReplyOpen(fuse_req_t request, fuse_file_info* info, int32_t backing_id);

  // The packet hooks of the older libraries (public for the C callbacks).
  void SawRequest(const void* packet, size_t size);
  ssize_t WriteReply(int fd, iovec* parts, int count);

  // The session's userdata is `void*`; the hooks of libfuse get it and ask here.
  static KernelChannel* FromUserdata(void* userdata);

 private:
  ssize_t Send(int fd, const iovec* parts, int count);
  ssize_t AnswerInit(int fd, const iovec* parts);

  const bool want_passthrough_;
  fuse_session* session_ = nullptr;
  uint64_t init_request_ = 0;
  bool kernel_offers_passthrough_ = false;
  bool kernel_offers_mapping_ = false;
  std::atomic<bool> handshake_done_{false};
  std::atomic<bool> passthrough_{false};
  std::atomic<bool> maps_direct_files_{false};
  std::atomic<int> registration_errno_{0};
  std::atomic<bool> agreed_on_passthrough_{false};
  std::atomic<bool> replaying_{false};
  bool began_elsewhere_ = false;  // with another process

  mutable std::mutex mutex_;
  std::condition_variable all_answered_;
  std::string init_packet_;
  std::unordered_set<uint64_t> unanswered_;
};

// What fuse_session_new gets as userdata: the channel and the object behind the operations.
struct SessionUserdata {
  KernelChannel* channel = nullptr;
  void* operations = nullptr;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_KERNEL_CHANNEL_H_
