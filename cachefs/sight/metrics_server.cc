#include "cachefs/sight/metrics_server.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr size_t kLongestRequest = 8192;
constexpr timeval kPatience{.tv_sec = 1, .tv_usec = 0};
constexpr std::chrono::seconds kLongestConversation{3};

struct HostAndPort {
  std::string host = "127.0.0.1";
  std::string port;
};

Result<HostAndPort> SplitAddress(const std::string& address) {
  HostAndPort split;
  const size_t colon = address.rfind(':');
  split.port = colon == std::string::npos ? address : address.substr(colon + 1);
  if (colon != std::string::npos && colon > 0) split.host = address.substr(0, colon);
  if (split.host.size() > 2 && split.host.front() == '[' && split.host.back() == ']') {
    split.host = split.host.substr(1, split.host.size() - 2);
  }
  const bool digits = split.port.find_first_not_of("0123456789") == std::string::npos;
  if (split.port.empty() || split.port.size() > 5 || !digits || std::stoi(split.port) > 65535) {
    return Error::InvalidArgument("not an address for metrics")
        .Expected("PORT or ADDRESS:PORT")
        .Found(address);
  }
  return split;
}

std::string NameOf(int socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0 ||
      getnameinfo(reinterpret_cast<const sockaddr*>(&bound), length, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  return bound.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                     : fmt::format("{}:{}", host, port);
}

Result<FileDescriptor> BindTo(const std::string& address) {
  PENSTOCK_ASSIGN_OR_RETURN(const HostAndPort where, SplitAddress(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found) != 0) {
    return Error::InvalidArgument("not an address for metrics")
        .Expected("an IP address and a port, such as 127.0.0.1:9105")
        .Found(address);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &freeaddrinfo);
  FileDescriptor listener(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (!listener.valid() ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return Error::FromErrno(errno, "cannot listen for metrics").In(address);
  }
  return listener;
}

void SendAll(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Answer(int socket, std::string_view status, std::string_view body, bool with_body) {
  SendAll(socket, fmt::format("HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; "
                              "charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                              status, body.size(), with_body ? body : std::string_view()));
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::Listen(const std::string& address) {
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  PENSTOCK_ASSIGN_OR_RETURN(server->listener_, BindTo(address));
  server->address_ = NameOf(server->listener_.get());
  server->stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (!server->stop_.valid()) return Error::FromErrno(errno, "cannot make an eventfd");
  return server;
}

void MetricsServer::Begin(Text text) {
  text_ = std::move(text);
  thread_ = std::thread([this] { Serve(); });
}

MetricsServer::~MetricsServer() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) < 0) spdlog::error("cannot stop the metrics server");
  thread_.join();
}

void MetricsServer::Serve() {
  while (true) {
    pollfd events[2] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) return;
    if ((events[0].revents & POLLIN) != 0) return;
    if ((events[1].revents & POLLIN) == 0) continue;
    const FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) continue;
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    Converse(socket.get());
  }
}

void MetricsServer::Converse(int socket) const {
  const auto end = std::chrono::steady_clock::now() + kLongestConversation;
  std::string request;
  char chunk[1024];
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t count = recv(socket, chunk, sizeof chunk, 0);
    if (count <= 0 || std::chrono::steady_clock::now() > end) return;
    request.append(chunk, static_cast<size_t>(count));
    if (request.size() > kLongestRequest) {
      Answer(socket, "431 Request Header Fields Too Large", "too long\n", true);
      return;
    }
  }
  const std::string_view line = std::string_view(request).substr(0, request.find("\r\n"));
  const bool get = line.starts_with("GET ");
  const bool head = line.starts_with("HEAD ");
  if (!get && !head) {
    Answer(socket, "405 Method Not Allowed", "GET /metrics\n", true);
    return;
  }
  const std::string_view rest = line.substr(line.find(' ') + 1);
  const std::string_view path = rest.substr(0, rest.find_first_of(" ?"));
  if (path == "/metrics") {
    Answer(socket, "200 OK", text_(), get);
  } else {
    Answer(socket, "404 Not Found", "GET /metrics\n", get);
  }
}

}  // namespace penstock::cachefs
