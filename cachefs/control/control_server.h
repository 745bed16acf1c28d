// ControlServer: answers penstock/cachefs/control.h on the daemon's side. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CONTROL_CONTROL_SERVER_H_
#define PENSTOCK_CACHEFS_CONTROL_CONTROL_SERVER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cachefs/cache/worker_pool.h"
#include "cachefs/control/cache_commands.h"
#include "cachefs/control/peer.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct ControlServices {
  CacheCommands* commands = nullptr;
  std::function<Json(const Json& request, const Peer& peer)> status;  // the whole answer
  std::function<Json()> check;    // the whole answer to "check"; may take long
  std::function<void()> unmount;  // begins the end of the daemon
  // A successor asks for the mount (handover/handover.h) and is answered over its socket.
  std::function<Status(const Json& request, const Peer& peer, int socket)> hand_over = nullptr;
};

class ControlServer {
 public:
  // `services` must outlive the server.
  static Result<std::unique_ptr<ControlServer>> Start(const std::string& socket_path,
                                                      ControlServices services);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  // Writes one line of JSON; false where the client has gone.
  using Writer = std::function<bool(const Json&)>;

  ControlServer(std::string socket_path, ControlServices services)
      : socket_path_(std::move(socket_path)),
        services_(std::move(services)),
        workers_(kMostConversations) {}

  void Serve();
  void Converse(int socket);
  Status HandOver(const Json& request, const Peer& peer, int socket);
  Status Handle(const Json& request, const Peer& peer, const Writer& write);

  static constexpr int kMostConversations = 8;
  // So that the status is answered, and the daemon called alive, whatever is being warmed.
  static constexpr int kMostJobs = kMostConversations - 3;

  const std::string socket_path_;
  const ControlServices services_;
  FileDescriptor listener_;
  FileDescriptor stop_;  // eventfd
  std::atomic<bool> stopping_{false};
  std::atomic<int> jobs_{0};
  std::thread thread_;
  WorkerPool workers_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_CONTROL_SERVER_H_
