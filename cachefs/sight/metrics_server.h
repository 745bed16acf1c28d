// MetricsServer: answers GET /metrics over HTTP, one client at a time and none longer than a few
// seconds. Meant for the loopback address; there is no authentication.

#ifndef PENSTOCK_CACHEFS_SIGHT_METRICS_SERVER_H_
#define PENSTOCK_CACHEFS_SIGHT_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class MetricsServer {
 public:
  using Text = std::function<std::string()>;

  // `address`: "PORT" or ":PORT" (on 127.0.0.1), "ADDRESS:PORT", "[IPV6]:PORT"; port 0 takes a free
  // one. Clients wait until Begin. kInvalidArgument where it is no address.
  static Result<std::unique_ptr<MetricsServer>> Listen(const std::string& address);
  // Answers from now on; `text` is called on a thread of the server.
  void Begin(Text text);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // "ADDRESS:PORT" as it is bound.
  const std::string& address() const { return address_; }

 private:
  MetricsServer() = default;
  void Serve();
  void Converse(int socket) const;

  Text text_;
  std::string address_;
  FileDescriptor listener_;
  FileDescriptor stop_;  // eventfd
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_METRICS_SERVER_H_
