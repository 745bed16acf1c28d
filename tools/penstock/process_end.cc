#include "tools/penstock/process_end.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

namespace penstock::tools {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBetweenQuestions{100};
constexpr milliseconds kLongestPoll{3'600'000};  // poll(2) counts them in an int

}  // namespace

ProcessEnd::ProcessEnd(pid_t process) : process_(process) {
  if (process_ <= 0) return;
  // (The header of pidfd_open(2) in glibc 2.36 is not fit for C++.)
  watched_ = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, process_, 0)));
  if (!watched_.valid() && errno == ESRCH) process_ = 0;
}

bool ProcessEnd::Wait(milliseconds patience) const {
  if (process_ <= 0) return true;
  const auto end = steady_clock::now() + patience;
  while (true) {
    const auto left =
        std::max(milliseconds(0), std::chrono::ceil<milliseconds>(end - steady_clock::now()));
    if (watched_.valid()) {
      pollfd event{.fd = watched_.get(), .events = POLLIN, .revents = 0};
      const int happened = poll(&event, 1, static_cast<int>(std::min(left, kLongestPoll).count()));
      if (happened > 0) return true;
      if (happened < 0 && errno != EINTR) return false;
    } else {
      if (kill(process_, 0) != 0 && errno == ESRCH) return true;
      std::this_thread::sleep_for(std::min(left, kBetweenQuestions));
    }
    if (left.count() == 0) return false;
  }
}

}  // namespace penstock::tools
