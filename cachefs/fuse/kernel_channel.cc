#include "cachefs/fuse/kernel_channel.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace penstock::cachefs {

namespace {

// From the kernel's include/uapi/linux/fuse.h (protocol 7.40); Debian 12's header is older.
struct RequestHeader {
  uint32_t length;
  uint32_t opcode;
  uint64_t unique;
  uint64_t node_id;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t extension_length;
  uint16_t padding;
};
static_assert(sizeof(RequestHeader) == 40);

struct InitRequest {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint32_t flags2;
  uint32_t unused[11];
};
static_assert(sizeof(InitRequest) == 64);

struct ReplyHeader {
  uint32_t length;
  int32_t error;
  uint64_t unique;
};
static_assert(sizeof(ReplyHeader) == 16);

struct InitReply {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint16_t max_background;
  uint16_t congestion_threshold;
  uint32_t max_write;
  uint32_t time_granularity;
  uint16_t max_pages;
  uint16_t map_alignment;
  uint32_t flags2;
  uint32_t max_stack_depth;
  uint32_t unused[6];
};
static_assert(sizeof(InitReply) == 64 && offsetof(InitReply, max_stack_depth) == 36);

struct OpenReply {
  uint64_t file_handle;
  uint32_t open_flags;
  int32_t backing_id;
};
static_assert(sizeof(OpenReply) == 16);

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
static_assert(sizeof(BackingMap) == 16);

constexpr uint32_t kOpcodeInit = 26;
// FORGET, INTERRUPT, NOTIFY_REPLY, BATCH_FORGET.
constexpr uint32_t kNotAnswered[] = {2, 36, 41, 42};
constexpr uint32_t kFlagInitExtended = uint32_t{1} << 30;
constexpr uint32_t kFlag2MapDirectFiles = uint32_t{1} << 4;
constexpr uint32_t kFlag2Passthrough = uint32_t{1} << 5;
constexpr uint32_t kMinorWithPassthrough = 40;
constexpr uint32_t kOpenPassthrough = uint32_t{1} << 7;
constexpr uint32_t kMaximumStackDepth = 1;

constexpr unsigned long kIoctlBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kIoctlBackingClose = _IOW(229, 2, uint32_t);

// Set around fuse_reply_open, which writes its packet in the same thread.
thread_local int32_t open_reply_backing_id = 0;

template <typename T>
bool CopyOut(const void* packet, size_t size, size_t at, T& value) {
  if (size < at + sizeof value) return false;
  std::memcpy(&value, static_cast<const char*>(packet) + at, sizeof value);
  return true;
}

#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
ssize_t ReadHook(int fd, void* buffer, size_t size, void* userdata) {
  const ssize_t received = read(fd, buffer, size);
  if (received > 0) {
    KernelChannel::FromUserdata(userdata)->SawRequest(buffer, static_cast<size_t>(received));
  }
  return received;
}

ssize_t WriteHook(int fd, iovec* parts, int count, void* userdata) {
  return KernelChannel::FromUserdata(userdata)->WriteReply(fd, parts, count);
}
#endif

}  // namespace

KernelChannel* KernelChannel::FromUserdata(void* userdata) {
  return static_cast<SessionUserdata*>(userdata)->channel;
}

Status KernelChannel::Attach(fuse_session* session, [[maybe_unused]] int fd) {
  session_ = session;
#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
  fuse_custom_io hooks{};
  hooks.read = ReadHook;
  hooks.writev = WriteHook;
  const int failure = fuse_session_custom_io(session, &hooks, fd);
  if (failure != 0) {
    return Error::FromErrno(-failure, "cannot install the packet hooks of the FUSE session");
  }
#endif
  return {};
}

Status KernelChannel::Replay(const std::string& init_request, bool passthrough) {
  began_elsewhere_ = true;
  agreed_on_passthrough_ = passthrough;
  replaying_ = true;
  std::string packet = init_request;
  SawRequest(packet.data(), packet.size());
  fuse_buf buffer{};
  buffer.mem = packet.data();
  buffer.size = packet.size();
  fuse_session_process_buf(session_, &buffer);
  replaying_ = false;
  if (handshake_done()) return {};
  return Error::Unsupported("the connection to the kernel cannot be taken over")
      .Advice("unmount and mount again");
}

std::string KernelChannel::init_request() const {
  const std::lock_guard lock(mutex_);
  return init_packet_;
}

bool KernelChannel::WaitUntilAnswered(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return all_answered_.wait_for(lock, patience, [this] { return unanswered_.empty(); });
}

void KernelChannel::Negotiate(fuse_conn_info* connection) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  if (want_passthrough_ && fuse_set_feature_flag(connection, FUSE_CAP_PASSTHROUGH)) {
    connection->max_backing_stack_depth = kMaximumStackDepth;
    kernel_offers_passthrough_ = true;
    passthrough_.store(true, std::memory_order_release);
  }
  if (fuse_set_feature_flag(connection, FUSE_CAP_DIRECT_IO_ALLOW_MMAP)) {
    kernel_offers_mapping_ = true;
    maps_direct_files_.store(true, std::memory_order_release);
  }
  handshake_done_.store(true, std::memory_order_release);
#endif
  // Splicing bypasses the hooks and gains nothing.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  // Which entries are worth their attributes is the daemon's choice (directory_operations.cc).
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO);
}

void KernelChannel::SawRequest(const void* packet, size_t size) {
  RequestHeader header{};
  if (!CopyOut(packet, size, 0, header)) return;
  if (std::ranges::find(kNotAnswered, header.opcode) == std::end(kNotAnswered)) {
    const std::lock_guard lock(mutex_);
    unanswered_.insert(header.unique);
    if (header.opcode == kOpcodeInit) init_packet_.assign(static_cast<const char*>(packet), size);
  }
  if (header.opcode != kOpcodeInit) return;
  InitRequest init{};
  if (!CopyOut(packet, size, sizeof header, init)) return;
  init_request_ = header.unique;
  const bool extended = (init.flags & kFlagInitExtended) != 0;
  kernel_offers_mapping_ = extended && (init.flags2 & kFlag2MapDirectFiles) != 0;
  kernel_offers_passthrough_ =
      extended && (init.flags2 & kFlag2Passthrough) != 0 && init.minor >= kMinorWithPassthrough;
}

ssize_t KernelChannel::WriteReply(int fd, iovec* parts, int count) {
  ReplyHeader header{};
  if (count == 2 && parts[0].iov_len == sizeof header) {
    std::memcpy(&header, parts[0].iov_base, sizeof header);
    if (header.error == 0 && header.unique == init_request_ && init_request_ != 0 &&
        parts[1].iov_len == sizeof(InitReply)) {
      return AnswerInit(fd, parts);
    }
    if (open_reply_backing_id > 0 && header.error == 0 && parts[1].iov_len == sizeof(OpenReply)) {
      OpenReply reply{};
      std::memcpy(&reply, parts[1].iov_base, sizeof reply);
      reply.open_flags |= kOpenPassthrough;
      reply.backing_id = open_reply_backing_id;
      const iovec patched[2] = {parts[0], {&reply, sizeof reply}};
      return Send(fd, patched, 2);
    }
  }
  return Send(fd, parts, count);
}

ssize_t KernelChannel::AnswerInit(int fd, const iovec* parts) {
  InitReply reply{};
  std::memcpy(&reply, parts[1].iov_base, sizeof reply);
  init_request_ = 0;
  const bool passthrough = kernel_offers_passthrough_ && want_passthrough_;
  if (!replaying_) agreed_on_passthrough_ = passthrough;
  if (kernel_offers_mapping_) reply.flags2 |= kFlag2MapDirectFiles;
  if (passthrough) {
    reply.flags2 |= kFlag2Passthrough;
    reply.max_stack_depth = kMaximumStackDepth;
  }
  if (reply.flags2 != 0) reply.flags |= kFlagInitExtended;
  // The first open may come as soon as the reply is written.
  maps_direct_files_.store(kernel_offers_mapping_, std::memory_order_release);
  passthrough_.store(passthrough && agreed_on_passthrough_, std::memory_order_release);
  const iovec patched[2] = {parts[0], {&reply, sizeof reply}};
  const ssize_t written = Send(fd, patched, 2);
  handshake_done_.store(true, std::memory_order_release);
  return written;
}

ssize_t KernelChannel::Send(int fd, const iovec* parts, int count) {
  ssize_t written = 0;
  if (replaying_) {
    for (int i = 0; i < count; ++i) written += static_cast<ssize_t>(parts[i].iov_len);
  } else {
    written = writev(fd, parts, count);
  }
  ReplyHeader header{};
  if (count > 0 && CopyOut(parts[0].iov_base, parts[0].iov_len, 0, header)) {
    const int error_number = errno;
    const std::lock_guard lock(mutex_);
    unanswered_.erase(header.unique);
    if (unanswered_.empty()) all_answered_.notify_all();
    errno = error_number;
  }
  return written;
}

std::string KernelChannel::PassthroughFailure() const {
  if (passthrough()) return "";
  if (!want_passthrough_) return "switched off by --no-passthrough";
  if (began_elsewhere_ && !agreed_on_passthrough_) {
    return "the mount began without it (unmount and mount again)";
  }
  if (const int error_number = registration_errno_.load(); error_number != 0) {
    return fmt::format("the kernel refused a backing file: {}", std::strerror(error_number));
  }
  if (!kernel_offers_passthrough_) return "the kernel does not offer it (Linux 6.9 or newer does)";
  return "not negotiated yet";
}

Result<int32_t> KernelChannel::RegisterBacking([[maybe_unused]] fuse_req_t request, int fd) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  errno = 0;
  const int backing_id = fuse_passthrough_open(request, fd);
#else
  BackingMap map{.fd = fd, .flags = 0, .padding = 0};
  const int backing_id = ioctl(fuse_session_fd(session_), kIoctlBackingOpen, &map);
#endif
  if (backing_id > 0) return backing_id;
  const int error_number = errno == 0 ? EIO : errno;
  // Not permitted (no CAP_SYS_ADMIN), or a file system that cannot back: it will not get better.
  if (error_number == EPERM || error_number == ELOOP || error_number == EOPNOTSUPP ||
      error_number == ENOTTY) {
    registration_errno_.store(error_number);
    passthrough_.store(false, std::memory_order_release);
  }
  return Error::FromErrno(error_number, "the kernel refused a backing file");
}

void KernelChannel::ReleaseBacking(int32_t backing_id) {
  const uint32_t id = static_cast<uint32_t>(backing_id);
  ioctl(fuse_session_fd(session_), kIoctlBackingClose, &id);
}

int KernelChannel::ReplyOpen(fuse_req_t request, fuse_file_info* info, int32_t backing_id) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  info->backing_id = backing_id;
  return fuse_reply_open(request, info);
#else
  open_reply_backing_id = backing_id;
  const int result = fuse_reply_open(request, info);
  open_reply_backing_id = 0;
  return result;
#endif
}

}  // namespace penstock::cachefs
