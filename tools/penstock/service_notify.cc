#include "tools/penstock/service_notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "penstock/base/descriptor_attachment.h"
#include "penstock/base/file.h"

namespace penstock::tools {

namespace {

constexpr int kBarrierMilliseconds = 5000;

std::optional<int64_t> NumberOf(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int64_t number = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, problem] = std::from_chars(text, end, number);
  if (problem != std::errc() || stop != end) return std::nullopt;
  return number;
}

// `descriptor`: goes with the message; or -1.
void Send(std::string_view state, int descriptor) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr) return;
  const std::string_view path(name);
  sockaddr_un address{};
  if (path.size() < 2 || path.size() >= sizeof address.sun_path) return;
  if (path.front() != '/' && path.front() != '@') return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';  // the abstract name space
  const FileDescriptor socket_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return;
  iovec part{.iov_base = const_cast<char*>(state.data()), .iov_len = state.size()};
  msghdr packet{};
  packet.msg_name = &address;
  packet.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  const DescriptorAttachment attached(packet, std::span(&descriptor, descriptor >= 0 ? 1 : 0));
  (void)sendmsg(socket_fd.get(), &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

void NotifyService(std::string_view state) { Send(state, -1); }

void WaitForService() {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  Send("BARRIER=1", write_end.get());
  write_end.Close();
  // The manager closes its end when it comes to the message.
  pollfd event{.fd = read_end.get(), .events = 0, .revents = 0};
  poll(&event, 1, kBarrierMilliseconds);
}

std::optional<std::chrono::microseconds> WatchdogInterval() {
  const auto process = NumberOf("WATCHDOG_PID");
  if (process && *process != getpid()) return std::nullopt;
  const auto interval = NumberOf("WATCHDOG_USEC");
  if (!interval || *interval <= 0) return std::nullopt;
  return std::chrono::microseconds(*interval / 2);
}

}  // namespace penstock::tools
