// Talking to the daemon of a mount: the control socket.
//
// A request is one line of JSON {"command": "status" | "check" | "locate" | "ping" | "warm" |
// "evict" | "pin" | "unpin" | "pins" | "quota" | "scrub" | "unmount", ...}; the answer is one or
// more lines of JSON, the last with "done": true or "error": text. Anybody may ask for the status,
// where blocks are and whether the daemon is alive, and is told names of datasets that he may read;
// the rest is for root and the user of the daemon. "status" takes "datasets": N, to be told of the
// N that take most room only.
// ("handover" begins another conversation, of two daemons.)

#ifndef PENSTOCK_CACHEFS_CONTROL_H_
#define PENSTOCK_CACHEFS_CONTROL_H_

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

// The extended attribute of the root and the dataset directories that names the control socket.
inline constexpr char kControlAttribute[] = "user.penstock.control";

// Where a path on a mount, or a cache directory, leads to.
struct ControlAddress {
  std::filesystem::path socket;
  std::string path_in_store;  // of the path that was asked for; "" for the root
};

// `path`: anything on a penstock mount, or the cache directory of a running daemon. kNotFound where
// it is neither.
Result<ControlAddress> FindControlSocket(const std::filesystem::path& path);

// Sends the request and calls `progress` for every line but the last, which is the result. An
// answer with "error" becomes an Error. A daemon that says nothing for `patience` is kTimeout.
// kCancelled once `stop` is requested and a line or a signal has come; the daemon ends the job.
Result<Json> AskDaemon(const std::filesystem::path& socket, const Json& request,
                       const std::function<void(const Json&)>& progress,
                       std::chrono::milliseconds patience = std::chrono::minutes(2),
                       const std::stop_token& stop = {});

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_H_
