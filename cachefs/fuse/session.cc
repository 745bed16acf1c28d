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

void RunFusermount(const std::filesystem::path& mountpoint) {
  const pid_t child = fork();
  if (child == 0) {
    execlp("fusermount3", "fusermount3", "-u", "-z", "--", mountpoint.c_str(), nullptr);
    _exit(127);
  }
  if (child > 0) waitpid(child, nullptr, 0);
}

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::Mount(const std::filesystem::path& mountpoint,
                                                        Operations& operations,
                                                        KernelChannel& channel) {
  std::unique_ptr<FuseSession> session(new FuseSession());
  session->mountpoint_ = mountpoint;
  session->operations_ = &operations;
  session->userdata_ = {.channel = &channel, .operations = &operations};
  session->stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  session->threads_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (!session->stop_.valid() || !session->threads_.valid()) {
    return Error::FromErrno(errno, "cannot make an eventfd");
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

  if (fuse_session_mount(session->session_, mountpoint.c_str()) != 0) {
    return Error(ErrorKind::kIo, "cannot mount")
        .In(mountpoint.string())
        .Advice("check that /dev/fuse exists and may be opened, and that fusermount3 is installed");
  }
  session->mounted_ = true;
  PENSTOCK_RETURN_IF_ERROR(channel.Attach(session->session_));
  const int fd = fuse_session_fd(session->session_);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  operations.SetSession(session->session_);
  return session;
}

FuseSession::~FuseSession() {
  if (operations_ != nullptr) operations_->SetSession(nullptr);
  if (mounted_) Unmount();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

void FuseSession::RequestStop() { Signal(stop_); }

void FuseSession::Serve(int threads) {
  std::vector<std::thread> takers;
  takers.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    takers.emplace_back([this, &self = busy_.Add()] { TakeRequests(self); });
  }

  // Wait for a request to stop, or for the threads to find the file system unmounted.
  pollfd events[2] = {{stop_.get(), POLLIN, 0}, {threads_.get(), POLLIN, 0}};
  while (poll(events, 2, -1) < 0 && errno == EINTR) {
  }
  // Unmounting needs the threads (closing files sends requests), so they end after it.
  operations_->SetSession(nullptr);
  if (fuse_session_exited(session_) == 0) Unmount();
  mounted_ = false;
  Signal(threads_);
  for (std::thread& taker : takers) taker.join();
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
  while (fuse_session_exited(session_) == 0) {
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
  if (geteuid() != 0) {
    RunFusermount(mountpoint_);
    return;
  }
  if (umount2(mountpoint_.c_str(), UMOUNT_NOFOLLOW) == 0) return;
  if (errno == EBUSY) {
    spdlog::warn("{}: files are still open; the mount is detached", mountpoint_.string());
    if (umount2(mountpoint_.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) return;
  }
  if (errno != EINVAL) {  // EINVAL: not mounted any more
    spdlog::error("{}",
                  Error::FromErrno(errno, "cannot unmount").In(mountpoint_.string()).ToString());
  }
}

}  // namespace penstock::cachefs
