#include "tools/penstock/start_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::tools {

namespace {

constexpr int kPollMilliseconds = 100;

// Written to a pipe as a whole.
struct Message {
  enum class Kind : int32_t { kProcess, kReady, kFailed };
  Kind kind = Kind::kFailed;
  int32_t value = 0;  // the process, or the exit status
};

bool Tell(int fd, const Message& message) {
  const bool told = write(fd, &message, sizeof message) == sizeof message;
  close(fd);
  return told;
}

// A fork without exec would lose the threads that this process has already started.
void StartDetached(std::vector<char*>& arguments, int ready_fd) {
  const pid_t child = fork();
  if (child == 0) {
    execv("/proc/self/exe", arguments.data());
    _exit(127);
  }
  if (child > 0) Tell(ready_fd, {.kind = Message::Kind::kProcess, .value = child});
  _exit(child > 0 ? 0 : 1);
}

}  // namespace

bool TellReady(int ready_fd) { return Tell(ready_fd, {.kind = Message::Kind::kReady}); }

bool TellFailed(int ready_fd, int exit_status) {
  return Tell(ready_fd, {.kind = Message::Kind::kFailed, .value = exit_status});
}

int StartDaemon(std::vector<std::string> command, const CommandContext& context) {
  int ends[2];
  if (pipe(ends) != 0) return ReportError(Error::FromErrno(errno, "cannot make a pipe"));
  const FileDescriptor told(ends[0]);
  FileDescriptor ready(ends[1]);
  fcntl(told.get(), F_SETFD, FD_CLOEXEC);
  command.insert(command.end(), {"--foreground", "--ready-fd", std::to_string(ready.get())});
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);

  const pid_t between = fork();
  if (between < 0) return ReportError(Error::FromErrno(errno, "cannot start the daemon"));
  if (between == 0) StartDetached(arguments, ready.get());
  ready.Close();
  waitpid(between, nullptr, 0);

  pid_t daemon = 0;
  while (true) {
    pollfd event{.fd = told.get(), .events = POLLIN, .revents = 0};
    const int happened = poll(&event, 1, kPollMilliseconds);
    if (happened < 0 && errno != EINTR) return kExitFailed;
    if (happened > 0) {
      Message message;
      // Else the daemon has ended; it has said why.
      if (read(told.get(), &message, sizeof message) != sizeof message) return kExitFailed;
      if (message.kind == Message::Kind::kReady) return kExitDone;
      if (message.kind == Message::Kind::kFailed) {
        return message.value != kExitDone ? message.value : kExitFailed;
      }
      daemon = message.value;
    }
    if (daemon > 0 && context.stop.stop_requested()) kill(daemon, SIGTERM);
  }
}

}  // namespace penstock::tools
