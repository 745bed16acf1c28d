#include "cachefs/control/control_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "cachefs/control/visibility.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kLongestRequest = 64 * 1024;

// One line of at most kLongestRequest bytes; nothing where the client sends none.
std::string ReadLine(int socket) {
  std::string line;
  char byte = 0;
  while (line.size() < kLongestRequest && recv(socket, &byte, 1, 0) == 1) {
    if (byte == '\n') return line;
    line.push_back(byte);
  }
  return "";
}

bool WriteLine(int socket, const Json& json) {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t count = send(socket, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& socket_path,
                                                            ControlServices services) {
  std::unique_ptr<ControlServer> server(new ControlServer(socket_path, std::move(services)));
  PENSTOCK_ASSIGN_OR_RETURN(server->listener_, ListenOn(socket_path, SOCK_STREAM, 0666));
  server->stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (!server->stop_.valid()) return Error::FromErrno(errno, "cannot make an eventfd");
  server->thread_ = std::thread([raw = server.get()] { raw->Serve(); });
  return server;
}

ControlServer::~ControlServer() {
  stopping_ = true;
  services_.commands->Stop();
  if (thread_.joinable()) {
    const uint64_t one = 1;
    if (write(stop_.get(), &one, sizeof one) < 0) spdlog::error("cannot stop the control server");
    thread_.join();
  }
  unlink(socket_path_.c_str());
}

void ControlServer::Serve() {
  while (true) {
    pollfd events[2] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) return;
    if (stopping_) return;
    if ((events[1].revents & POLLIN) == 0) continue;
    auto socket =
        std::make_shared<FileDescriptor>(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket->valid()) continue;
    // A client that says nothing holds one of the workers for a moment only.
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket->get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    workers_.Submit(WorkerPool::Priority::kDemand, [this, socket] { Converse(socket->get()); });
  }
}

void ControlServer::Converse(int socket) {
  const auto peer = PeerOf(socket);
  const Json request = Json::parse(ReadLine(socket), nullptr, /*allow_exceptions=*/false);
  Status status;
  if (!peer.ok()) {
    status = peer.error();
  } else if (!request.is_object()) {
    status = Error::InvalidArgument("the request is not a line of JSON");
  } else if (request.value("command", Json()) == "handover") {
    status = HandOver(request, *peer, socket);
  } else {
    status = Handle(request, *peer, [socket](const Json& line) { return WriteLine(socket, line); });
  }
  if (!status.ok()) {
    WriteLine(socket, {{"error", status.error().ToString()},
                       {"kind", std::string(ErrorKindName(status.error().kind()))}});
  }
}

Status ControlServer::HandOver(const Json& request, const Peer& peer, int socket) {
  if (!IsTrusted(peer)) {
    return Error(ErrorKind::kPermission, "only root and the user of the daemon may do that");
  }
  if (!services_.hand_over) return Error::Unsupported("this daemon cannot be replaced");
  return services_.hand_over(request, peer, socket);
}

Status ControlServer::Handle(const Json& request, const Peer& peer, const Writer& write) {
  const auto text = [&](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string command = text("command");
  if (command == "status") {
    Json answer = services_.status(request, peer);
    answer["done"] = true;
    write(answer);
    return {};
  }
  if (command == "locate") return services_.commands->Locate(text("path"), peer, write);
  if (command == "check") {
    Json answer = services_.check();
    answer["done"] = true;
    write(answer);
    return {};
  }
  if (command == "ping") {
    services_.commands->Ping();
    write({{"done", true}});
    return {};
  }
  if (!IsTrusted(peer)) {
    return Error(ErrorKind::kPermission, "only root and the user of the daemon may do that");
  }
  if (services_.commands->Knows(command)) {
    Status done = Error::Busy("too many jobs of the cache are under way").Advice("try later");
    if (++jobs_ <= kMostJobs) done = services_.commands->Handle(request, write);
    --jobs_;
    return done;
  }
  if (command == "unmount") {
    write({{"done", true}});
    services_.unmount();
    return {};
  }
  return Error::InvalidArgument("unknown command").Found(command);
}

}  // namespace penstock::cachefs
