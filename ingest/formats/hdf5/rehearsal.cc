#include "ingest/formats/hdf5/rehearsal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>

#include "penstock/base/file.h"
#include "penstock/dataset/hdf5_handle.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr unsigned kMostSeconds = 5;  // of a processor
constexpr unsigned kMostMinutes = 5;  // a server may be slow
constexpr uint64_t kMostBytes = uint64_t{512} << 20;
constexpr size_t kRemembered = 64;

struct Play {
  std::filesystem::path path;
  FileIdentity identity;
  std::string what;
  Status outcome;
};

// How the last files came through, so that detection and opening by each dress cost one child; and
// one that does not end costs its time once.
class Memory {
 public:
  std::optional<Status> Find(const Play& play) {
    const std::lock_guard lock(mutex_);
    for (const Play& known : plays_) {
      if (known.path == play.path && known.identity == play.identity && known.what == play.what) {
        return known.outcome;
      }
    }
    return std::nullopt;
  }
  Status Add(Play play, Status outcome) {
    const std::lock_guard lock(mutex_);
    play.outcome = outcome;
    plays_.push_back(std::move(play));
    if (plays_.size() > kRemembered) plays_.pop_front();
    return outcome;
  }

 private:
  std::mutex mutex_;
  std::deque<Play> plays_;
};

// More than the process has already.
void LimitMemory() {
  uint64_t pages = 0;
  if (std::FILE* const file = std::fopen("/proc/self/statm", "re")) {
    unsigned long long first = 0;
    if (std::fscanf(file, "%llu", &first) == 1) pages = first;  // NOLINT: a number or nothing
    std::fclose(file);
  }
  if (pages == 0) return;
  const rlim_t most = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + kMostBytes;
  const rlimit limit{most, most};
  setrlimit(RLIMIT_AS, &limit);
}

[[noreturn]] void PlayInChild(const std::function<void()>& steps) {
  // No core files, no report of a sanitizer or of malloc: the parent says what happened.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) {
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGXCPU}) {
    std::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  LimitMemory();
  // Without a hard limit, that a SIGKILL always comes from outside.
  const rlimit processor{kMostSeconds, RLIM_INFINITY};
  setrlimit(RLIMIT_CPU, &processor);
  alarm(kMostMinutes * 60);
  Hdf5Session::AfterForkInChild();
  steps();
  _exit(EXIT_SUCCESS);
}

}  // namespace

Status Rehearse(const std::filesystem::path& path, const std::string& what,
                const std::function<void()>& steps) {
  static Memory memory;
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
  Play play{path, identity, what, Status()};
  if (const auto known = memory.Find(play)) return *known;
  const pid_t child = fork();
  if (child < 0) return Error::FromErrno(errno, "cannot start a process to try the file").In(path);
  if (child == 0) PlayInChild(steps);
  int outcome = 0;
  while (waitpid(child, &outcome, 0) < 0) {
    if (errno != EINTR) return Error::FromErrno(errno, "cannot wait for a process").In(path);
  }
  if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == EXIT_SUCCESS) {
    return memory.Add(std::move(play), Status());
  }
  const int signal = WIFSIGNALED(outcome) ? WTERMSIG(outcome) : 0;
  const bool too_long = signal == SIGALRM || signal == SIGXCPU;
  const bool too_large =
      WIFEXITED(outcome) && WEXITSTATUS(outcome) == Hdf5Session::kOutOfMemoryStatus;
  Error error =
      Error::Corrupt("the HDF5 library does not survive reading the file")
          .In(path)
          .Expected("attributes and links that lead somewhere")
          .Found(too_long      ? fmt::format("no end within {} s", kMostSeconds)
                 : too_large   ? fmt::format("a length of more than {} MiB", kMostBytes >> 20)
                 : signal != 0 ? std::string(strsignal(signal))
                               : fmt::format("exit status {}", WEXITSTATUS(outcome)))
          .Advice(
              "the file is damaged: copy it again from where it was recorded; h5check or h5stat "
              "may "
              "say where");
  // Killed for want of memory, or a server that hangs: the next time it may go better.
  if (signal == SIGKILL || signal == SIGALRM) return error;
  return memory.Add(std::move(play), std::move(error));
}

}  // namespace penstock::ingest::hdf5
