// HeldOpens: what a lookup has opened for the open that it belongs to.
//
// An open that meets another file than the one for which the kernel has the name is sent back with
// ESTALE. The kernel then looks the name up again and opens what that gives; a second ESTALE would
// go to the program. A name that is replaced again and again may be replaced between these two, so
// that lookup opens the file itself, and the open that follows takes it: a file that had the name
// while the program was opening it. Thread-safe.

#ifndef PENSTOCK_CACHEFS_FUSE_HELD_OPENS_H_
#define PENSTOCK_CACHEFS_FUSE_HELD_OPENS_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "cachefs/faces/open_face.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// A file of the store with its attributes, or a face.
struct HeldOpen {
  std::shared_ptr<UpstreamFile> file;
  struct stat status {};
  std::unique_ptr<OpenFace> face;
};

class HeldOpens {
 public:
  using Clock = std::chrono::steady_clock;

  // An open of `path` by `thread` (fuse_ctx::pid) is answered with ESTALE.
  void SentBack(pid_t thread, const std::string& path, Clock::time_point now = Clock::now());
  // Whether a lookup is that of an open which was sent back less than kPatience ago.
  bool IsAwaited(pid_t thread, const std::string& path, Clock::time_point now = Clock::now());
  // Without effect where it is not awaited (any more).
  void Hold(pid_t thread, const std::string& path, HeldOpen open);
  // For an open: what the lookup before it held, if it did. It is awaited no longer.
  std::optional<HeldOpen> Take(pid_t thread, const std::string& path);

  size_t size() const;

  // A thread that is killed in between leaves what was held for it; that goes when the next open is
  // sent back later than this.
  static constexpr std::chrono::seconds kPatience{10};

 private:
  struct Awaited {
    Clock::time_point since;
    std::optional<HeldOpen> held;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<pid_t, std::string>, Awaited> awaited_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_HELD_OPENS_H_
