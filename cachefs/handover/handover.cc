#include "cachefs/handover/handover.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cachefs/control/peer.h"
#include "penstock/base/descriptor_attachment.h"

namespace penstock::cachefs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLongestLine = 64 * 1024;
constexpr size_t kMostDescriptors = DescriptorAttachment::kMost;
// How long one waits for what the other does by itself. A database that was not closed is repaired
// when it is opened.
constexpr std::chrono::seconds kPatience{30};
// From the close of a process's sockets to its end.
constexpr std::chrono::seconds kEndPatience{3};
constexpr std::chrono::milliseconds kStep{10};

struct Message {
  Json json;
  std::vector<FileDescriptor> descriptors;
};

bool SendLine(int socket, const Json& json, const std::vector<int>& descriptors = {}) {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    iovec part{.iov_base = const_cast<char*>(line.data() + sent), .iov_len = line.size() - sent};
    msghdr packet{};
    packet.msg_iov = &part;
    packet.msg_iovlen = 1;
    // With the first byte that goes.
    const DescriptorAttachment attached(
        packet, sent == 0 ? std::span<const int>(descriptors) : std::span<const int>());
    const ssize_t count = sendmsg(socket, &packet, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

void TakeDescriptors(msghdr& packet, std::vector<FileDescriptor>& into) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&packet); header != nullptr;
       header = CMSG_NXTHDR(&packet, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
      into.emplace_back(descriptor);
    }
  }
}

// Waits until something can be read, or the other end is closed.
bool WaitReadable(int socket, Clock::time_point end) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd event{.fd = socket, .events = POLLIN, .revents = 0};
    const int happened = poll(&event, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (happened > 0) return true;
    if (happened == 0 || errno != EINTR) return false;
  }
}

Error FromRefusal(const Json& refusal) {
  const std::string kind = refusal.value("kind", "");
  for (const ErrorKind known : {ErrorKind::kInvalidArgument, ErrorKind::kPermission,
                                ErrorKind::kUnsupported, ErrorKind::kBusy, ErrorKind::kCorrupt}) {
    if (kind == ErrorKindName(known)) return {known, refusal["error"].get<std::string>()};
  }
  return {ErrorKind::kIo, refusal["error"].get<std::string>()};
}

// The next line; one message is under way at a time. `expected`: for the error.
Result<Message> ReceiveAny(int socket, std::string_view expected,
                           std::chrono::milliseconds patience) {
  const Clock::time_point end = Clock::now() + patience;
  Message message;
  std::string line;
  while (!line.ends_with('\n')) {
    if (!WaitReadable(socket, end)) {
      return Error::Timeout("the other daemon does not answer")
          .Expected(std::string(expected))
          .Found(fmt::format("nothing for {} s", patience.count() / 1000));
    }
    std::array<char, 4096> chunk{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
    iovec part{.iov_base = chunk.data(), .iov_len = chunk.size()};
    msghdr packet{};
    packet.msg_iov = &part;
    packet.msg_iovlen = 1;
    packet.msg_control = control.data();
    packet.msg_controllen = control.size();
    const ssize_t count = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0 || line.size() > kLongestLine) {
      return Error(ErrorKind::kCancelled, "the other daemon has ended");
    }
    TakeDescriptors(packet, message.descriptors);
    line.append(chunk.data(), static_cast<size_t>(count));
  }
  message.json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!message.json.is_object()) return Error::Internal("the other daemon speaks no JSON");
  if (message.json.contains("error") && message.json["error"].is_string()) {
    return FromRefusal(message.json);
  }
  return message;
}

Result<Message> Receive(int socket, std::string_view phase, std::chrono::milliseconds patience) {
  PENSTOCK_ASSIGN_OR_RETURN(Message message, ReceiveAny(socket, phase, patience));
  const std::string found = message.json.value("phase", "");
  if (found == phase) return message;
  return Error::Internal("the other daemon is elsewhere in the hand-over")
      .Expected(std::string(phase))
      .Found(found);
}

// The other end is closed, which the end of its process does, too.
bool WaitForHangup(int socket, std::chrono::milliseconds patience) {
  const Clock::time_point end = Clock::now() + patience;
  std::array<char, 4096> ignored{};
  while (WaitReadable(socket, end)) {
    const ssize_t count = recv(socket, ignored.data(), ignored.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return true;
  }
  return false;
}

bool ThreadHasEnded(const std::filesystem::path& thread) {
  std::ifstream file(thread / "stat");
  std::string text;
  if (!std::getline(file, text)) return true;
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return true;
  return text[name_end + 2] == 'Z' || text[name_end + 2] == 'X';
}

// All threads: what is open is closed by the last of them, and one that hangs in the store ends
// later than the others.
bool ProcessHasEnded(pid_t pid) {
  std::error_code failure;
  std::filesystem::directory_iterator threads(fmt::format("/proc/{}/task", pid), failure);
  for (; !failure && threads != std::filesystem::directory_iterator(); threads.increment(failure)) {
    if (!ThreadHasEnded(threads->path())) return false;
  }
  return true;
}

// The process has closed everything. (It closes one thing after another.)
void WaitForEnd(pid_t pid) {
  if (pid <= 0) return;
  const Clock::time_point end = Clock::now() + kEndPatience;
  while (Clock::now() < end && !ProcessHasEnded(pid)) std::this_thread::sleep_for(kStep);
}

Result<FileDescriptor> InMemory(const std::string& bytes) {
  FileDescriptor file(memfd_create("penstock-mount-state", MFD_CLOEXEC));
  if (!file.valid()) return Error::FromErrno(errno, "cannot make a file in memory");
  PENSTOCK_RETURN_IF_ERROR(WriteFully(file.get(), 0, AsBytes(bytes), "state of the mount"));
  return file;
}

Result<std::string> WholeFile(int file) {
  struct stat status {};
  if (fstat(file, &status) != 0) return Error::FromErrno(errno, "cannot stat the mount's state");
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  PENSTOCK_RETURN_IF_ERROR(
      ReadFully(file, 0, std::as_writable_bytes(std::span(bytes)), "state of the mount"));
  return bytes;
}

// What was open, and its name leads to another file or to none.
class LostFile final : public SimpleUpstreamFile {
 public:
  Result<struct stat> Stat() override { return Lost(); }
  Result<size_t> Read(uint64_t /*offset*/, std::span<std::byte> /*destination*/) override {
    return Lost();
  }

 private:
  static Error Lost() {
    return Error::FromErrno(ESTALE, "the file had lost its name when the daemon was replaced");
  }
};

std::shared_ptr<UpstreamFile> Reopen(Upstream& upstream, const MountState::HeldNode& node) {
  auto file = upstream.Open(node.path);
  if (!file.ok()) return nullptr;
  const auto status = (*file)->Stat();
  if (!status.ok() || status->st_dev != node.device || status->st_ino != node.inode) return nullptr;
  return *std::move(file);
}

}  // namespace

StoreFiles ReopenStoreFiles(Upstream& upstream, const MountState& state) {
  std::unordered_map<uint64_t, const MountState::HeldNode*> nodes;
  for (const auto& node : state.nodes) nodes[node.id] = &node;
  StoreFiles files;
  for (const auto& file : state.files) {
    const auto node = nodes.find(file.node);
    if (!file.in_store || node == nodes.end()) continue;
    if (auto reopened = Reopen(upstream, *node->second)) {
      files[file.handle] = std::move(reopened);
      continue;
    }
    spdlog::warn("/{}: open, and has lost its name: reads that need the store will fail",
                 node->second->path);
    if (!node->second->block) files[file.handle] = std::make_shared<LostFile>();
  }
  return files;
}

Status CheckHandoverRequest(const Json& request, const MountOptions& options) {
  const auto text = [&](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto version = request.find("state_version");
  if (version == request.end() || !version->is_number_unsigned() ||
      version->get<uint64_t>() != MountState::kVersion) {
    return Error::Unsupported("the state of the mount is of another version than it is asked for")
        .Expected(fmt::format("{}", MountState::kVersion))
        .Found(version == request.end() ? "none" : version->dump())
        .Advice("unmount and mount again");
  }
  const struct {
    const char* key;
    std::string ours;
  } same[] = {{"store", options.store},
              {"mountpoint", options.mountpoint.string()},
              {"cache", options.cache.string()}};
  for (const auto& [key, ours] : same) {
    if (text(key) == ours) continue;
    return Error::InvalidArgument(fmt::format("the running mount has another {}", key))
        .Expected(WithoutSecrets(ours))
        .Found(WithoutSecrets(text(key)))
        .Advice("replace a mount with its own arguments");
  }
  return {};
}

void Successor::Refuse(const Error& why) {
  SendLine(socket_.get(),
           {{"error", why.ToString()}, {"kind", std::string(ErrorKindName(why.kind()))}});
}

Status Successor::Offer(const HeldMount& mount) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor state, InMemory(EncodeMountState(mount.state)));
  if (!SendLine(socket_.get(), {{"phase", "state"}}, {mount.fuse.get(), state.get()})) {
    return Error(ErrorKind::kCancelled, "the other daemon has ended");
  }
  const auto understood = Receive(socket_.get(), "understood", kPatience);
  if (!understood.ok()) return understood.error();
  return {};
}

Status Successor::Release(const std::function<void()>& before) {
  Status given;
  if (!SendLine(socket_.get(), {{"phase", "released"}})) {
    given = Error(ErrorKind::kCancelled, "the other daemon has ended");
  } else if (const auto ready = Receive(socket_.get(), "ready", kPatience); !ready.ok()) {
    given = ready.error();
  } else {
    before();
    if (SendLine(socket_.get(), {{"phase", "take"}})) return {};
    given = Error(ErrorKind::kCancelled, "the other daemon has ended");
  }
  // What it has opened has to be free for us. It ends when it sees this; while its end of the
  // socket is open, its number is no other process's.
  shutdown(socket_.get(), SHUT_WR);
  const bool hangs = given.error().kind() == ErrorKind::kTimeout;
  if (!WaitForHangup(socket_.get(), hangs ? std::chrono::seconds(0) : kPatience) && pid_ > 0) {
    spdlog::warn("the other daemon (process {}) hangs and is killed", pid_);
    kill(pid_, SIGKILL);
    WaitForHangup(socket_.get(), kPatience);
  }
  WaitForEnd(pid_);
  return given;
}

void Successor::Leave() { SendLine(socket_.get(), {{"phase", "leaving"}}); }

Result<std::unique_ptr<Predecessor>> Predecessor::Ask(const MountOptions& options) {
  const std::string path = (options.cache / "control.sock").string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error::InvalidArgument("the path is too long for a socket").In(path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::FromErrno(errno, "there is no mount to replace: its daemon cannot be reached")
        .In(path)
        .Advice("mount without --replace");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Peer peer, PeerOf(socket.get()));
  if (peer.uid != geteuid()) {
    return Error(ErrorKind::kPermission, "the mount belongs to another user")
        .In(options.mountpoint.string())
        .Found(fmt::format("uid {}", peer.uid))
        .Advice("replace it as that user");
  }
  std::unique_ptr<Predecessor> predecessor(
      new Predecessor(std::move(socket), peer.pid, options.upstream_timeout));
  if (!SendLine(predecessor->socket_.get(), {{"command", "handover"},
                                             {"state_version", MountState::kVersion},
                                             {"store", options.store},
                                             {"mountpoint", options.mountpoint.string()},
                                             {"cache", options.cache.string()}})) {
    return Error::FromErrno(errno, "cannot ask the daemon").In(path);
  }
  return predecessor;
}

Result<HeldMount> Predecessor::Receive() {
  PENSTOCK_ASSIGN_OR_RETURN(
      Message message, cachefs::Receive(socket_.get(), "state", upstream_timeout_ + kPatience));
  if (message.descriptors.size() != kMostDescriptors) {
    return Error::Internal("the daemon did not send its descriptors");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::string bytes, WholeFile(message.descriptors[1].get()));
  PENSTOCK_ASSIGN_OR_RETURN(MountState state, DecodeMountState(bytes));
  return HeldMount{.fuse = std::move(message.descriptors[0]), .state = std::move(state)};
}

Status Predecessor::Understood() {
  if (!SendLine(socket_.get(), {{"phase", "understood"}})) {
    return Error(ErrorKind::kCancelled, "the daemon has ended");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Message message,
                            ReceiveAny(socket_.get(), "released", 2 * kPatience));
  if (message.json.value("phase", "") == "released") return {};
  // The mount is ours already.
  WaitForHangup(socket_.get(), kPatience);
  WaitForEnd(pid_);
  has_left_ = true;
  return {};
}

Status Predecessor::Take() {
  if (has_left_) return {};
  if (!SendLine(socket_.get(), {{"phase", "ready"}})) {
    return Error(ErrorKind::kCancelled, "the daemon has taken its mount back");
  }
  const auto take = cachefs::Receive(socket_.get(), "take", kPatience);
  if (take.ok()) return {};
  return take.error();
}

}  // namespace penstock::cachefs
