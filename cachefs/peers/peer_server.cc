#include "cachefs/peers/peer_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <utility>
#include <vector>

#include "cachefs/peers/peer_residency.h"

namespace penstock::cachefs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWorkers = 8;
constexpr int kBacklog = 64;
constexpr std::chrono::seconds kHandshakePatience{5};
constexpr std::chrono::seconds kSendPatience{10};
constexpr std::chrono::seconds kIdlePatience{60};
// How long a thread that waits for its peer may take to notice that the server stops.
constexpr std::chrono::milliseconds kStopInterval{500};
constexpr std::chrono::milliseconds kAfterFailedAccept{100};

Result<FileDescriptor> Listen(const HostAndPort& address, int& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string name = address.host + ":" + address.port;
  const int failure = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (failure != 0) {
    return Error::InvalidArgument("cannot find the address to listen on")
        .In(name)
        .Found(gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  FileDescriptor socket(
      ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol));
  if (!socket.valid()) return Error::FromErrno(errno, "cannot make a socket").In(name);
  const int yes = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      listen(socket.get(), kBacklog) != 0) {
    return Error::FromErrno(errno, "cannot listen for peers").In(name);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0) {
    port =
        ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  }
  return socket;
}

bool StaysInside(const std::string& path) {
  return !path.starts_with('/') && ("/" + path + "/").find("/../") == std::string::npos &&
         ("/" + path + "/").find("/./") == std::string::npos;
}

}  // namespace

// Of one request, filled in by whichever thread gets the extent.
struct PeerServer::Answer {
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
  std::string refusal;
  std::vector<std::byte> bytes;

  void Refuse(std::string why) {
    const std::lock_guard lock(mutex);
    refusal = std::move(why);
    ready = true;
    changed.notify_all();
  }
  void Give(std::span<const std::byte> found) {
    const std::lock_guard lock(mutex);
    bytes.assign(found.begin(), found.end());
    ready = true;
    changed.notify_all();
  }
};

PeerServer::PeerServer(std::shared_ptr<TlsContext> context, const PeerServices& services)
    : context_(std::move(context)), services_(services), workers_(kWorkers) {}

Result<std::unique_ptr<PeerServer>> PeerServer::Start(const HostAndPort& address,
                                                      std::shared_ptr<TlsContext> context,
                                                      const PeerServices& services) {
  std::unique_ptr<PeerServer> server(new PeerServer(std::move(context), services));
  PENSTOCK_ASSIGN_OR_RETURN(server->listener_, Listen(address, server->port_));
  server->wake_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (!server->wake_.valid()) return Error::FromErrno(errno, "cannot make an event");
  server->thread_ = std::thread([raw = server.get()] { raw->Accept(); });
  return server;
}

PeerServer::~PeerServer() { Stop(std::chrono::milliseconds(0)); }

bool PeerServer::Stop(std::chrono::milliseconds patience) {
  if (!stopping_.exchange(true)) {
    const uint64_t one = 1;
    if (wake_.valid() && write(wake_.get(), &one, sizeof one) < 0)
      spdlog::warn("cannot wake peers");
    if (thread_.joinable()) thread_.join();
  }
  return workers_.Stop(patience);
}

void PeerServer::Accept() {
  while (!stopping_) {
    pollfd events[] = {{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                       {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) break;
    connections_.remove_if([](Connection& connection) {
      if (!connection.done) return false;
      connection.thread.join();
      return true;
    });
    if (stopping_ || (events[0].revents & POLLIN) == 0) continue;
    FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) {
      // Out of descriptors, say: not at once again.
      std::this_thread::sleep_for(kAfterFailedAccept);
      continue;
    }
    if (connections_.size() >= kMostConnections) {
      spdlog::warn("more than {} connections of peers; one is turned away", kMostConnections);
      continue;
    }
    Connection& connection = connections_.emplace_back();
    connection.socket = FileDescriptor(fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    connection.thread = std::thread(
        [this, &connection](FileDescriptor accepted) {
          ++connection_count_;
          Serve(std::move(accepted));
          // The connection ends now, and not when this thread is joined.
          shutdown(connection.socket.get(), SHUT_RDWR);
          --connection_count_;
          connection.done = true;
        },
        std::move(socket));
  }
  for (Connection& connection : connections_) {
    shutdown(connection.socket.get(), SHUT_RDWR);
    connection.thread.join();
  }
  connections_.clear();
}

void PeerServer::Serve(FileDescriptor socket) {
  auto channel = TlsChannel::Accept(context_, std::move(socket), Clock::now() + kHandshakePatience);
  if (!channel.ok()) {
    spdlog::warn("a connection to the port for peers is refused: {}", channel.error().ToString());
    return;
  }
  auto idle_until = Clock::now() + kIdlePatience;
  while (!stopping_ && Clock::now() < idle_until) {
    // Nothing of a request is lost where its first byte has not come yet.
    auto request = ReceiveRequest(**channel, Clock::now() + kStopInterval, kSendPatience);
    if (!request.ok()) {
      if (request.error().kind() == ErrorKind::kTimeout) continue;
      if (request.error().kind() == ErrorKind::kCorrupt) {
        spdlog::warn("{}", request.error().ToString());
      }
      return;
    }
    if (!Handle(**channel, *request)) return;
    idle_until = Clock::now() + kIdlePatience;
  }
}

template <typename Ready>
bool PeerServer::WaitWorking(TlsChannel& channel, const Ready& ready) {
  while (!ready()) {
    if (stopping_) return false;
    const Status told = SendAnswer(channel, PeerAnswer::kWorking, {}, Clock::now() + kSendPatience);
    if (!told.ok()) return false;
  }
  return true;
}

bool PeerServer::Handle(TlsChannel& channel, const PeerRequest& request) {
  if (!WaitWorking(channel, [this] { return extents_->try_acquire_for(kWorkingInterval); })) {
    return false;
  }
  // The place is given back when nobody holds the answer any more, also where the other side has
  // gone and the store answers later.
  const std::shared_ptr<Answer> answer(new Answer, [extents = extents_](Answer* done) {
    delete done;
    extents->release();
  });
  workers_.Submit(WorkerPool::Priority::kDemand,
                  [this, request, answer] { Prepare(request, answer); });
  const bool ready = WaitWorking(channel, [&] {
    std::unique_lock lock(answer->mutex);
    return answer->changed.wait_for(lock, kWorkingInterval, [&] { return answer->ready; });
  });
  if (!ready) return false;
  const auto deadline = Clock::now() + kSendPatience;
  if (!answer->refusal.empty()) {
    std::string why = answer->refusal.substr(0, kLargestPeerReason);
    return SendAnswer(channel, PeerAnswer::kRefused, AsBytes(why), deadline).ok();
  }
  if (!SendAnswer(channel, PeerAnswer::kBytes, answer->bytes, deadline).ok()) return false;
  services_.counters->peer_served_bytes += answer->bytes.size();
  return true;
}

void PeerServer::Prepare(const PeerRequest& request, const std::shared_ptr<Answer>& answer) {
  if (!StaysInside(request.dataset)) return answer->Refuse("not the path of a dataset");
  const auto view = services_.registry->Get(request.dataset);
  if (!view.ok()) return answer->Refuse(view.error().ToString());
  const auto& blocks = (*view)->blocks;
  if ((*view)->generation != request.generation) return answer->Refuse("another generation");
  if (request.extent == kResidencyOfDataset) {
    const std::string residency = EncodeResidency(*services_.cache, **view);
    if (residency.size() > kExtentBytes) return answer->Refuse("too many blocks");
    return answer->Give(AsBytes(residency));
  }
  if (request.block < 0 || request.block >= static_cast<int64_t>(blocks.size())) {
    return answer->Refuse("no such block");
  }
  const std::shared_ptr<const BlockSource>& source = blocks[static_cast<size_t>(request.block)];
  if (request.extent < 0 || request.extent >= source->extent_count()) {
    return answer->Refuse("no such extent");
  }
  // What is another node's own would have to be asked for there: nothing is passed on.
  const auto members = services_.members->Get();
  const std::string* const owner = OwnerOf(*members, source->id);
  if (owner == nullptr || *owner != services_.self) return answer->Refuse("not the owner");
  const ReplicaPin pin = services_.cache->Pin(source);
  services_.cache->Read(pin, source->extent_start(request.extent),
                        source->extent_bytes(request.extent),
                        [answer](const Result<std::span<const std::byte>>& bytes) {
                          if (bytes.ok()) {
                            answer->Give(*bytes);
                          } else {
                            answer->Refuse(bytes.error().ToString());
                          }
                        });
}

}  // namespace penstock::cachefs
