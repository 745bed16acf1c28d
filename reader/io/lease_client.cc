#include "reader/io/lease_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "penstock/dataset/lease_protocol.h"

namespace penstock {

namespace {

// A daemon that does not answer within this time is not asked again.
constexpr int kTimeoutSeconds = 2;

std::string Attribute(const std::filesystem::path& path, const char* name) {
  std::array<char, 4096> value{};
  const ssize_t size = getxattr(path.c_str(), name, value.data(), value.size());
  return size > 0 ? std::string(value.data(), static_cast<size_t>(size)) : std::string();
}

FileDescriptor Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return {};
  const timeval timeout{kTimeoutSeconds, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return socket;
}

struct ReceivedReply {
  lease::Reply reply{};
  FileDescriptor fd;
};

std::optional<ReceivedReply> Receive(int socket) {
  ReceivedReply received;
  iovec vector{&received.reply, sizeof received.reply};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* const header = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    received.fd = FileDescriptor(fd);
  }
  if (size < static_cast<ssize_t>(sizeof received.reply) || received.reply.magic != lease::kMagic) {
    return std::nullopt;
  }
  return received;
}

bool IsTheBlock(int fd, uint64_t file_bytes) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<uint64_t>(status.st_size) == file_bytes &&
         (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

}  // namespace

LeaseClient::LeaseClient(FileDescriptor socket, std::string dataset)
    : socket_(std::move(socket)), dataset_(std::move(dataset)) {}

std::unique_ptr<LeaseClient> LeaseClient::ForDataset(const std::filesystem::path& directory) {
  const std::string socket_path = Attribute(directory, lease::kSocketAttribute);
  std::string dataset = Attribute(directory, lease::kDatasetAttribute);
  if (socket_path.empty() || dataset.empty()) return nullptr;
  FileDescriptor socket = Connect(socket_path);
  if (!socket.valid()) return nullptr;
  return std::unique_ptr<LeaseClient>(new LeaseClient(std::move(socket), std::move(dataset)));
}

bool LeaseClient::Send(uint16_t operation, int64_t block, bool with_dataset) {
  lease::Request request{};
  request.magic = lease::kMagic;
  request.version = lease::kVersion;
  request.operation = static_cast<lease::Operation>(operation);
  request.block = block;
  request.dataset_bytes = with_dataset ? static_cast<uint32_t>(dataset_.size()) : 0;
  std::vector<char> packet(sizeof request + request.dataset_bytes);
  std::memcpy(packet.data(), &request, sizeof request);
  std::memcpy(packet.data() + sizeof request, dataset_.data(), request.dataset_bytes);
  return send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(packet.size());
}

std::optional<BlockLease> LeaseClient::Acquire(int64_t block, uint64_t file_bytes) {
  const std::lock_guard lock(mutex_);
  if (!socket_.valid()) return std::nullopt;
  std::optional<ReceivedReply> received;
  if (Send(static_cast<uint16_t>(lease::Operation::kAcquire), block, true)) {
    received = Receive(socket_.get());
  }
  if (!received) {
    socket_.Close();
    return std::nullopt;
  }
  if (received->reply.outcome != lease::Outcome::kGranted || !received->fd.valid() ||
      !IsTheBlock(received->fd.get(), file_bytes)) {
    return std::nullopt;
  }
  return BlockLease{std::move(received->fd), received->reply.lease};
}

void LeaseClient::Release(BlockLease lease) {
  const std::lock_guard lock(mutex_);
  lease.fd.Close();
  if (!socket_.valid()) return;
  // Every request has one reply, which has to be taken off the socket.
  if (!Send(static_cast<uint16_t>(lease::Operation::kRelease), static_cast<int64_t>(lease.lease),
            false) ||
      !Receive(socket_.get())) {
    socket_.Close();
  }
}

}  // namespace penstock
