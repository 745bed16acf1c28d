// PendingRequest: a FUSE request that is answered once, by the worker that asked the store or by
// the deadline, whichever comes first. Thread-safe.

#ifndef PENSTOCK_CACHEFS_FUSE_PENDING_REQUEST_H_
#define PENSTOCK_CACHEFS_FUSE_PENDING_REQUEST_H_

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <atomic>

namespace penstock::cachefs {

class PendingRequest {
 public:
  explicit PendingRequest(fuse_req_t request) : request_(request) {}

  // The request, for the one caller that may answer it; null for all others.
  fuse_req_t Claim() { return claimed_.exchange(true) ? nullptr : request_; }
  bool answered() const { return claimed_.load(); }

 private:
  const fuse_req_t request_;
  std::atomic<bool> claimed_{false};
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_PENDING_REQUEST_H_
