#include "cachefs/control/short_circuit_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "penstock/base/descriptor_attachment.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kMostConnections = 512;

// A dataset's path as it comes from a client: relative, without empty, "." or ".." components.
bool IsCleanPath(const std::string& path) {
  if (path.empty()) return true;
  if (path.find('\0') != std::string::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = std::string_view(path).substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

lease::Outcome OutcomeOf(const Error& error) {
  return error.kind() == ErrorKind::kNotFound ? lease::Outcome::kNoSuchBlock
                                              : lease::Outcome::kError;
}

}  // namespace

Result<std::unique_ptr<ShortCircuitServer>> ShortCircuitServer::Start(
    const std::string& socket_path, const ShortCircuitServices& services) {
  std::unique_ptr<ShortCircuitServer> server(new ShortCircuitServer(socket_path, services));
  // Everybody may connect; what they get is decided by who they are.
  PENSTOCK_ASSIGN_OR_RETURN(server->listener_, ListenOn(socket_path, SOCK_SEQPACKET, 0666));
  server->wake_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!server->wake_.valid()) return Error::FromErrno(errno, "cannot make an eventfd");
  server->thread_ = std::thread([raw = server.get()] { raw->Serve(); });
  return server;
}

ShortCircuitServer::~ShortCircuitServer() {
  stopping_ = true;
  if (thread_.joinable()) {
    Wake();
    thread_.join();
  }
  unlink(socket_path_.c_str());
}

void ShortCircuitServer::Wake() const {
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0 && errno != EAGAIN) {
    spdlog::error("cannot wake the short-circuit server");
  }
}

size_t ShortCircuitServer::connection_count() const {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

size_t ShortCircuitServer::lease_count() const {
  const std::lock_guard lock(mutex_);
  size_t leases = 0;
  for (const auto& connection : connections_) {
    const std::lock_guard connection_lock(connection->mutex);
    leases += connection->leases.size();
  }
  return leases;
}

void ShortCircuitServer::Serve() {
  while (!stopping_) {
    std::vector<ConnectionPointer> connections;
    {
      const std::lock_guard lock(mutex_);
      connections = connections_;
    }
    std::vector<pollfd> events = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const auto& connection : connections) {
      // A busy connection is only watched for its end.
      const short wanted = connection->busy ? 0 : POLLIN;
      events.push_back({connection->socket.get(), wanted, 0});
    }
    if (poll(events.data(), events.size(), -1) < 0) {
      if (errno == EINTR) continue;
      spdlog::error("the short-circuit server ends: {}", std::strerror(errno));
      return;
    }
    uint64_t drained = 0;
    if ((events[0].revents & POLLIN) != 0 && read(wake_.get(), &drained, sizeof drained) < 0) {
      spdlog::debug("woken twice");
    }
    for (size_t i = 0; i < connections.size(); ++i) {
      const short happened = events[i + 2].revents;
      if (happened == 0) continue;
      if ((happened & POLLIN) != 0 && Receive(connections[i])) continue;
      const std::lock_guard lock(mutex_);
      connections_.erase(std::find(connections_.begin(), connections_.end(), connections[i]));
    }
    if ((events[1].revents & POLLIN) != 0) Accept();
  }
  const std::lock_guard lock(mutex_);
  connections_.clear();
}

void ShortCircuitServer::Accept() {
  FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  auto peer = PeerOf(socket.get());
  const std::lock_guard lock(mutex_);
  if (!peer.ok() || connections_.size() >= kMostConnections) return;
  auto connection = std::make_shared<Connection>();
  connection->socket = std::move(socket);
  connection->peer = std::move(peer).value();
  connections_.push_back(std::move(connection));
}

bool ShortCircuitServer::Receive(const ConnectionPointer& connection) {
  std::vector<char> packet(lease::kMaximumPacketBytes + 1);
  const ssize_t received = recv(connection->socket.get(), packet.data(), packet.size(), 0);
  if (received < 0) return errno == EAGAIN || errno == EINTR;
  if (received == 0) return false;
  connection->busy = true;
  Handle(connection, std::span<const char>(packet).first(static_cast<size_t>(received)));
  return true;
}

void ShortCircuitServer::Handle(const ConnectionPointer& connection, std::span<const char> packet) {
  lease::Request request{};
  if (packet.size() < sizeof request || packet.size() > lease::kMaximumPacketBytes) {
    Answer(connection, lease::Outcome::kBadRequest);
    return;
  }
  std::memcpy(&request, packet.data(), sizeof request);
  std::string dataset(packet.begin() + sizeof request, packet.end());
  if (dataset == ".") dataset.clear();  // the store itself is a dataset
  if (request.magic != lease::kMagic || request.version != lease::kVersion ||
      request.dataset_bytes != packet.size() - sizeof request || !IsCleanPath(dataset)) {
    Answer(connection, lease::Outcome::kBadRequest);
    return;
  }
  switch (request.operation) {
    case lease::Operation::kRelease:
      ReleaseLease(connection, static_cast<uint64_t>(request.block));
      return;
    case lease::Operation::kAcquire:
      services_.workers->Submit(WorkerPool::Priority::kDemand,
                                [this, connection, dataset, block = request.block,
                                 wait = (request.flags & lease::kWait) != 0] {
                                  Acquire(connection, dataset, block, wait);
                                });
      return;
    case lease::Operation::kResidency:
      services_.workers->Submit(WorkerPool::Priority::kDemand, [this, connection, dataset] {
        ReportResidency(connection, dataset);
      });
      return;
  }
  Answer(connection, lease::Outcome::kBadRequest);
}

void ShortCircuitServer::Acquire(const ConnectionPointer& connection, const std::string& dataset,
                                 int64_t block, bool wait) {
  const auto view = services_.registry->Get(dataset);
  if (!view.ok()) {
    Answer(connection, OutcomeOf(view.error()));
    return;
  }
  if (block < 0 || static_cast<size_t>(block) >= (*view)->blocks.size()) {
    Answer(connection, lease::Outcome::kNoSuchBlock);
    return;
  }
  const auto& source = (*view)->blocks[static_cast<size_t>(block)];
  const auto allowed = MayReadPath(connection->peer, *services_.upstream, source->path);
  if (!allowed.ok() || !*allowed) {
    Answer(connection, allowed.ok() ? lease::Outcome::kDenied : OutcomeOf(allowed.error()));
    return;
  }
  const ReplicaPin replica = services_.cache->Pin(source);
  services_.cache->IsAsItWasLeft(replica);
  services_.cache->Touch(replica);
  services_.read_ahead->Opened(*source);
  if (services_.cache->IsComplete(replica)) {
    Grant(connection, replica);
    return;
  }
  if (!wait) {
    if (services_.cache->HasUnverified(replica)) services_.cache->StartFill(replica);
    Answer(connection, lease::Outcome::kNotResident);
    return;
  }
  services_.cache->WhenComplete(replica, services_.upstream_timeout,
                                [this, connection, replica](const Status& status) {
                                  if (status.ok()) {
                                    Grant(connection, replica);
                                  } else {
                                    Answer(connection, lease::Outcome::kNotResident);
                                  }
                                });
}

void ShortCircuitServer::Grant(const ConnectionPointer& connection, const ReplicaPin& replica) {
  const auto file = services_.cache->OpenForHandOut(replica);
  if (!file.ok()) {
    spdlog::error("{}", file.error().ToString());
    Answer(connection, lease::Outcome::kError);
    return;
  }
  uint64_t lease = 0;
  {
    const std::lock_guard lock(connection->mutex);
    lease = connection->next_lease++;
    connection->leases.emplace(lease, replica);
  }
  services_.counters->leases_granted++;
  if (services_.access_log != nullptr) {
    services_.access_log->Record(replica->source->path, connection->peer.uid, connection->peer.pid,
                                 AccessMode::kLease);
  }
  Answer(connection, lease::Outcome::kGranted, lease, replica->source->file_bytes, {}, file->get());
}

void ShortCircuitServer::ReleaseLease(const ConnectionPointer& connection, uint64_t lease) {
  ReplicaPin released;
  {
    const std::lock_guard lock(connection->mutex);
    const auto found = connection->leases.find(lease);
    if (found != connection->leases.end()) {
      released = std::move(found->second);
      connection->leases.erase(found);
    }
  }
  Answer(connection, released ? lease::Outcome::kGranted : lease::Outcome::kBadRequest, lease);
}

void ShortCircuitServer::ReportResidency(const ConnectionPointer& connection,
                                         const std::string& dataset) {
  const auto view = services_.registry->Get(dataset);
  if (!view.ok()) {
    Answer(connection, OutcomeOf(view.error()));
    return;
  }
  if (!(*view)->blocks.empty()) {
    const auto allowed =
        MayReadPath(connection->peer, *services_.upstream, (*view)->blocks.front()->path);
    if (!allowed.ok() || !*allowed) {
      Answer(connection, allowed.ok() ? lease::Outcome::kDenied : OutcomeOf(allowed.error()));
      return;
    }
  }
  std::vector<uint8_t> residency;
  residency.reserve((*view)->blocks.size());
  for (const auto& block : (*view)->blocks) {
    residency.push_back(static_cast<uint8_t>(services_.cache->ResidencyOf(*block).residency));
  }
  // What does not fit into a packet is cut off: the client counts the bytes it gets.
  residency.resize(std::min(residency.size(), lease::kMaximumPacketBytes - sizeof(lease::Reply)));
  Answer(connection, lease::Outcome::kGranted, 0, 0, residency);
}

void ShortCircuitServer::Answer(const ConnectionPointer& connection, lease::Outcome outcome,
                                uint64_t lease, uint64_t file_bytes, std::span<const uint8_t> extra,
                                int descriptor) {
  lease::Reply reply{};
  reply.magic = lease::kMagic;
  reply.outcome = outcome;
  reply.lease = lease;
  reply.file_bytes = file_bytes;
  iovec parts[2] = {{&reply, sizeof reply}, {const_cast<uint8_t*>(extra.data()), extra.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = extra.empty() ? 1 : 2;
  const DescriptorAttachment attached(message, std::span(&descriptor, descriptor >= 0 ? 1 : 0));
  // A client that does not take its answers is not waited for: it sees its connection end.
  if (sendmsg(connection->socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    shutdown(connection->socket.get(), SHUT_RDWR);
  }
  connection->busy = false;
  Wake();
}

}  // namespace penstock::cachefs
