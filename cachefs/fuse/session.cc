#include "cachefs/fuse/session.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>
#include <vector>

namespace penstock::cachefs {

namespace {

void Signal(const FileDescriptor& event) {
  const uint64_t one = 1;
  if (write(event.get(), &one, sizeof one) < 0) spdlog::error("cannot signal the session's end");
}

// Takes back what was signalled.
void Drain(const FileDescriptor& event) {
  uint64_t count = 0;
  (void)!read(event.get(), &count, sizeof count);
}

void RunFusermount(const std::filesystem::path& mountpoint) {
  const pid_t child = fork();
  if (child == 0) {
    execlp("fusermount3", "fusermount3", "-u", "-z", "--", mountpoint.c_str(), nullptr);
    _exit(127);
  }
  if (child > 0) waitpid(child, nullptr, 0);
}

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::Make(const std::filesystem::path& mountpoint,
                                                       Operations& operations,
                                                       KernelChannel& channel) {
  std::unique_ptr<FuseSession> session(new FuseSession());
  session->mountpoint_ = mountpoint;
  session->operations_ = &operations;
  session->userdata_ = {.channel = &channel, .operations = &operations};
  for (FileDescriptor* const event : {&session->stop_, &session->pause_, &session->threads_}) {
    *event = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event->valid()) return Error::FromErrno(errno, "cannot make an eventfd");
  }

  std::string options = "ro,nosuid,nodev,default_permissions,fsname=penstock,subtype=penstock";
  if (geteuid() == 0) options += ",allow_other";
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "penstock");
  fuse_opt_add_arg(&arguments, "-o");
  fuse_opt_add_arg(&arguments, options.c_str());
  session->session_ = fuse_session_new(&arguments, &Operations::Table(), sizeof(fuse_lowlevel_ops),
                                       &session->userdata_);
  fuse_opt_free_args(&arguments);
  if (session->session_ == nullptr) return Error::Internal("cannot make a FUSE session");
  return session;
}

Result<std::unique_ptr<FuseSession>> FuseSession::Mount(const std::filesystem::path& mountpoint,
                                                        Operations& operations,
                                                        KernelChannel& channel) {
  PENSTOCK_ASSIGN_OR_RETURN(auto session, Make(mountpoint, operations, channel));
  if (fuse_session_mount(session->session_, mountpoint.c_str()) != 0) {
    return Error(ErrorKind::kIo, "cannot mount")
        .In(mountpoint.string())
        .Advice("check that /dev/fuse exists and may be opened, and that fusermount3 is installed");
  }
  session->mounted_ = true;
  const int fd = fuse_session_fd(session->session_);
  PENSTOCK_RETURN_IF_ERROR(channel.Attach(session->session_, fd));
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return session;
}

Result<std::unique_ptr<FuseSession>> FuseSession::Adopt(const std::filesystem::path& mountpoint,
                                                        Operations& operations,
                                                        KernelChannel& channel, FileDescriptor fuse,
                                                        const MountState& state) {
  PENSTOCK_ASSIGN_OR_RETURN(auto session, Make(mountpoint, operations, channel));
  PENSTOCK_RETURN_IF_ERROR(channel.Attach(session->session_, fuse.get()));
  fuse.Release();  // the session closes it
  PENSTOCK_RETURN_IF_ERROR(channel.Replay(state.init_request, state.passthrough));
  return session;
}

FuseSession::~FuseSession() {
  if (operations_ != nullptr) operations_->SetSession(nullptr);
  if (mounted_) Unmount();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

void FuseSession::RequestStop() { Signal(stop_); }

void FuseSession::RequestPause() { Signal(pause_); }

Result<FileDescriptor> FuseSession::Duplicate() const {
  FileDescriptor copy(fcntl(fuse_session_fd(session_), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return Error::FromErrno(errno, "cannot duplicate the FUSE descriptor");
  return copy;
}

FuseSession::Ending FuseSession::Serve(int threads) {
  operations_->SetSession(session_);
  pausing_ = false;
  std::vector<std::thread> takers;
  takers.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    takers.emplace_back([this, &self = busy_.Add()] { TakeRequests(self); });
  }

  // Wait for a request to stop or to pause, or for the threads to find the file system unmounted.
  pollfd events[3] = {
      {stop_.get(), POLLIN, 0}, {pause_.get(), POLLIN, 0}, {threads_.get(), POLLIN, 0}};
  while (poll(events, 3, -1) < 0 && errno == EINTR) {
  }
  operations_->SetSession(nullptr);
  Drain(pause_);
  const bool pauses = events[0].revents == 0 && events[1].revents != 0;
  if (pauses) {
    pausing_ = true;
  } else {
    // Unmounting needs the threads (closing files sends requests), so they end after it.
    if (fuse_session_exited(session_) == 0) Unmount();
    mounted_ = false;
  }
  Signal(threads_);
  for (std::thread& taker : takers) taker.join();
  busy_.Clear();
  Drain(threads_);
  if (!pauses) return Ending::kUnmounted;
  if (fuse_session_exited(session_) == 0) return Ending::kPaused;
  mounted_ = false;
  return Ending::kUnmounted;
}

void FuseSession::TakeRequests(BusyThreads::Thread& self) {
  const int fuse_fd = fuse_session_fd(session_);
  const FileDescriptor events(epoll_create1(EPOLL_CLOEXEC));
  // One request wakes one thread.
  epoll_event request{.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.fd = fuse_fd}};
  epoll_event end{.events = EPOLLIN, .data = {.fd = threads_.get()}};
  if (epoll_ctl(events.get(), EPOLL_CTL_ADD, fuse_fd, &request) != 0 ||
      epoll_ctl(events.get(), EPOLL_CTL_ADD, threads_.get(), &end) != 0) {
    spdlog::error("cannot wait for requests of the kernel");
    Signal(threads_);
    return;
  }
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0 && !pausing_) {
    const int received = fuse_session_receive_buf(session_, &buffer);
    if (received > 0) {
      self.Begin();
      fuse_session_process_buf(session_, &buffer);
      self.End();
      continue;
    }
    if (received != -EAGAIN && received != -EINTR) break;
    epoll_event event{};
    if (epoll_wait(events.get(), &event, 1, -1) == 1 && event.data.fd == threads_.get()) break;
  }
  std::free(buffer.mem);  // allocated by libfuse with malloc
  Signal(threads_);       // the others end, too
}

void FuseSession::Unmount() {
  mounted_ = false;
  cachefs::Unmount(mountpoint_);
}

void Unmount(const std::filesystem::path& mountpoint) {
  if (geteuid() != 0) {
    RunFusermount(mountpoint);
    return;
  }
  if (umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW) == 0) return;
  if (errno == EBUSY) {
    spdlog::warn("{}: files are still open; the mount is detached", mountpoint.string());
    if (umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) return;
  }
  if (errno != EINVAL) {  // EINVAL: not mounted any more
    spdlog::error("{}",
                  Error::FromErrno(errno, "cannot unmount").In(mountpoint.string()).ToString());
  }
}

}  // namespace penstock::cachefs
