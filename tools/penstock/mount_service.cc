#include "tools/penstock/mount_service.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <utility>

#include "tools/penstock/service_notify.h"

namespace penstock::tools {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStatusInterval{30};

std::atomic<int> g_hangup_event{-1};

void Signal(int event) {
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
}

void OnHangup(int /*signal*/) {
  const int saved = errno;
  Signal(g_hangup_event.load());
  errno = saved;
}

void Drain(int event) {
  uint64_t count = 0;
  (void)!read(event, &count, sizeof count);
}

uint64_t MonotonicMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

int MillisecondsUntil(Clock::time_point when) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(when - Clock::now()).count() + 1;
  return static_cast<int>(std::max<int64_t>(left, 0));
}

}  // namespace

MountService::MountService(std::function<void()> reopen_log)
    : reopen_log_(std::move(reopen_log)), stop_(eventfd(0, EFD_CLOEXEC)) {
  // Lives as long as the process, as the handler does.
  g_hangup_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = OnHangup;
  action.sa_flags = SA_RESTART;
  sigaction(SIGHUP, &action, nullptr);
}

MountService::~MountService() { End(cachefs::MountEnding::kUnmounting); }

void MountService::Begin(const cachefs::MountHandle& handle) {
  handle_ = handle;
  NotifyService(fmt::format("READY=1\nSTATUS={}", handle_.describe()));
  thread_ = std::thread([this] { Work(); });
}

void MountService::End(cachefs::MountEnding ending) {
  if (!thread_.joinable()) return;
  NotifyService(ending == cachefs::MountEnding::kUnmounting ? "STOPPING=1\nSTATUS=unmounting"
                                                            : "STATUS=handing over");
  Signal(stop_.get());
  thread_.join();
  Drain(stop_.get());
}

void MountService::NameSuccessor(pid_t process) {
  NotifyService(fmt::format("MAINPID={}", process));
  WaitForService();
}

void MountService::Work() {
  const auto watchdog = WatchdogInterval();
  const Clock::duration interval =
      watchdog ? std::min<Clock::duration>(*watchdog, kStatusInterval) : kStatusInterval;
  Clock::time_point next = Clock::now();
  Clock::time_point next_status = next + kStatusInterval;
  while (true) {
    pollfd events[2] = {{stop_.get(), POLLIN, 0}, {g_hangup_event.load(), POLLIN, 0}};
    const int happened = poll(events, 2, MillisecondsUntil(next));
    if (happened > 0 && events[0].revents != 0) return;
    if (happened > 0 && events[1].revents != 0) Reload();
    if (Clock::now() < next) continue;
    next = Clock::now() + interval;
    if (watchdog) {
      if (handle_.alive()) {
        NotifyService("WATCHDOG=1");
      } else {
        spdlog::error("the mount does not answer; the service manager is not told that it lives");
      }
    }
    if (Clock::now() < next_status) continue;
    next_status = Clock::now() + kStatusInterval;
    NotifyService(fmt::format("STATUS={}", handle_.describe()));
  }
}

void MountService::Reload() {
  Drain(g_hangup_event.load());
  NotifyService(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", MonotonicMicroseconds()));
  reopen_log_();
  handle_.reopen_logs();
  spdlog::info("log files are opened again");
  NotifyService("READY=1");
}

}  // namespace penstock::tools
