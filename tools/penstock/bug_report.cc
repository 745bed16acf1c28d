#include "tools/penstock/bug_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "penstock/cachefs/control.h"
#include "penstock/dataset/description.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kPartPatience{10};
constexpr std::chrono::seconds kDaemonPatience{8};
constexpr uint64_t kLogBytes = uint64_t{1} << 20;

// The thread is left behind where it hangs; the process ends in spite of it.
template <typename Value>
std::optional<Value> Bounded(std::function<Value()> work) {
  auto promise = std::make_shared<std::promise<Value>>();
  auto future = promise->get_future();
  std::thread([promise, work = std::move(work)] { promise->set_value(work()); }).detach();
  if (future.wait_for(kPartPatience) != std::future_status::ready) return std::nullopt;
  return future.get();
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return file ? text.str() : fmt::format("(cannot read {})\n", path.string());
}

std::string ReadEnd(const fs::path& path, uint64_t most) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(0, std::ios::end);
  const auto size = static_cast<uint64_t>(std::max<std::streamoff>(file.tellg(), 0));
  file.seekg(static_cast<std::streamoff>(size > most ? size - most : 0));
  std::ostringstream text;
  text << file.rdbuf();
  std::string end = text.str();
  if (size > most) end.erase(0, end.find('\n') + 1);
  return end;
}

// Arguments, one per line.
std::vector<std::string> CommandLineOf(pid_t pid) {
  std::vector<std::string> arguments;
  std::istringstream text(ReadText(fmt::format("/proc/{}/cmdline", pid)));
  for (std::string argument; std::getline(text, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

std::optional<fs::path> ConfigurationOf(pid_t pid) {
  const std::vector<std::string> arguments = CommandLineOf(pid);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) return arguments[i + 1];
    if (arguments[i].starts_with("--config=")) return arguments[i].substr(9);
  }
  return std::nullopt;
}

struct Daemon {
  pid_t pid = 0;
  fs::path cache;
};

// The cache directory is the one whose lock the process holds open.
std::optional<Daemon> DaemonOf(pid_t pid) {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), failure)) {
    const fs::path target = fs::read_symlink(entry.path(), failure);
    if (failure || target.filename() != "lock") continue;
    if (fs::exists(target.parent_path() / "penstock-cache.json", failure)) {
      return Daemon{.pid = pid, .cache = target.parent_path()};
    }
  }
  return std::nullopt;
}

std::vector<Daemon> RunningDaemons() {
  std::vector<Daemon> daemons;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator("/proc", failure)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    if (const auto daemon = DaemonOf(pid)) daemons.push_back(*daemon);
  }
  return daemons;
}

struct MountEntry {
  std::string mountpoint;
  std::string connection;  // number of the FUSE connection: the minor device
};

// The mount of penstock that holds `path`, by the kernel's list, which answers always.
std::optional<MountEntry> MountAbove(const fs::path& path) {
  std::istringstream mounts(ReadText("/proc/self/mountinfo"));
  std::optional<MountEntry> found;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" - fuse.penstock ") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string skipped;
    std::string device;
    std::string where;
    fields >> skipped >> skipped >> device >> skipped >> where;
    const std::string below = path.string();
    const bool holds = below == where || below.starts_with(where + "/");
    if (!holds || (found && where.size() <= found->mountpoint.size())) continue;
    found = {.mountpoint = where, .connection = device.substr(device.find(':') + 1)};
  }
  return found;
}

// Newer kernels tell which connection an open /dev/fuse belongs to; older ones leave it to what the
// daemon says on its command line or in its configuration.
bool Serves(const Daemon& daemon, const MountEntry& mount) {
  std::error_code failure;
  for (const auto& entry :
       fs::directory_iterator(fmt::format("/proc/{}/fdinfo", daemon.pid), failure)) {
    std::istringstream lines(ReadText(entry.path()));
    for (std::string name, value; lines >> name >> value;) {
      if (name == "fuse_connection:") return value == mount.connection;
    }
  }
  const std::vector<std::string> arguments = CommandLineOf(daemon.pid);
  if (std::ranges::find(arguments, mount.mountpoint) != arguments.end()) return true;
  const auto config = ConfigurationOf(daemon.pid);
  return config && ReadText(*config).find(mount.mountpoint) != std::string::npos;
}

struct Place {
  fs::path cache;  // "" where nothing tells
  std::string mountpoint;
  std::optional<pid_t> pid;
};

// Who may not look into the daemon's descriptors can still ask a mount that lives.
void AskTheMount(Place& place) {
  const auto address = Bounded<Result<cachefs::ControlAddress>>(
      [path = place.mountpoint] { return cachefs::FindControlSocket(path); });
  if (!address || !address->ok()) return;
  place.cache = (*address)->socket.parent_path();
  const auto status = cachefs::AskDaemon(
      (*address)->socket, {{"command", "status"}, {"datasets", 0}}, nullptr, kDaemonPatience);
  if (status.ok()) place.pid = status->value("pid", 0);
}

Result<Place> FindPlace(const fs::path& given) {
  std::error_code failure;
  // Not canonical(): that would ask the mount.
  fs::path path = fs::absolute(given, failure).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  Place place;
  const auto mount = MountAbove(path);
  const auto daemons = RunningDaemons();
  if (mount) {
    place.mountpoint = mount->mountpoint;
    for (const Daemon& daemon : daemons) {
      if (!Serves(daemon, *mount)) continue;
      place.cache = daemon.cache;
      place.pid = daemon.pid;
    }
    if (place.cache.empty()) AskTheMount(place);
    return place;
  }
  if (!fs::exists(path / "penstock-cache.json", failure)) {
    return Error::NotFound("this is neither on a penstock mount nor a cache directory")
        .In(path.string())
        .Advice("name the cache directory where the mount is gone");
  }
  place.cache = path;
  for (const Daemon& daemon : daemons) {
    if (fs::equivalent(daemon.cache, path, failure)) place.pid = daemon.pid;
  }
  return place;
}

std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* const pipe = popen(("timeout 5 " + command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "";
  char chunk[4096];
  while (const size_t count = fread(chunk, 1, sizeof chunk, pipe)) output.append(chunk, count);
  pclose(pipe);
  return output;
}

// The shared libraries of this program that matter to a mount, with their versions.
std::string DescribeLibraries() {
  std::istringstream maps(ReadText("/proc/self/maps"));
  std::set<std::string> libraries;
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path == std::string::npos) continue;
    for (const char* const name : {"libfuse3", "librocksdb", "libspdlog", "libc.so"}) {
      if (line.find(name, path) == std::string::npos) continue;
      std::error_code failure;
      libraries.insert(fs::canonical(line.substr(path), failure).string());
    }
  }
  return fmt::format("{}\n", fmt::join(libraries, "\n"));
}

std::string DescribeSystem() {
  utsname system{};
  uname(&system);
  return fmt::format("penstock {}\n{} {} {} {}\n\n{}\n{}\n{}", PENSTOCK_VERSION, system.sysname,
                     system.release, system.version, system.machine, ReadText("/etc/os-release"),
                     OutputOf("fusermount3 --version"), DescribeLibraries());
}

std::string DescribeMounts() {
  std::istringstream mounts(ReadText("/proc/self/mountinfo"));
  std::string text;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find("penstock") != std::string::npos) text += line + "\n";
  }
  return text;
}

std::string DescribeProcess(pid_t pid) {
  const std::string proc = fmt::format("/proc/{}", pid);
  std::string text = "command line:\n";
  for (const std::string& argument : CommandLineOf(pid)) text += "  " + argument + "\n";
  for (const char* const file : {"status", "limits", "io"}) {
    text += fmt::format("\n{}:\n{}", file, ReadText(proc + "/" + file));
  }
  text += "\nthreads (number, name, state and what of the kernel they wait in):\n";
  std::error_code failure;
  for (const auto& task : fs::directory_iterator(proc + "/task", failure)) {
    std::string state = ReadText(task.path() / "stat");
    const size_t after_name = state.rfind(')');
    state = after_name == std::string::npos ? "?" : state.substr(after_name + 2, 1);
    std::string name = ReadText(task.path() / "comm");
    name.erase(std::remove(name.begin(), name.end(), '\n'), name.end());
    text += fmt::format("  {} {} {} {}\n", task.path().filename().string(), name, state,
                        ReadText(task.path() / "wchan"));
  }
  return text;
}

// The configuration that the daemon was started with.
std::string DescribeConfiguration(pid_t pid) {
  const auto config = ConfigurationOf(pid);
  return config ? ReadText(*config) : "(the daemon has no --config; see its command line)\n";
}

std::string DescribeCache(const fs::path& cache) {
  std::string text;
  struct statvfs disk {};
  if (statvfs(cache.c_str(), &disk) == 0) {
    text += fmt::format("disk: {} of {} free, {} of {} inodes free\n",
                        FormatBytes(disk.f_bavail * disk.f_frsize),
                        FormatBytes(disk.f_blocks * disk.f_frsize), disk.f_favail, disk.f_files);
  }
  std::error_code failure;
  for (const char* const folder : {".", "state"}) {
    text += fmt::format("\n{}:\n", (cache / folder).lexically_normal().string());
    for (const auto& entry : fs::directory_iterator(cache / folder, failure)) {
      const auto size = entry.is_regular_file(failure) ? entry.file_size(failure) : 0;
      text += fmt::format("  {:>12} {}\n", size, entry.path().filename().string());
    }
  }
  size_t replicas = 0;
  for (const auto& folder : fs::directory_iterator(cache / "blocks", failure)) {
    for (fs::directory_iterator entry(folder.path(), failure), end; !failure && entry != end;
         entry.increment(failure)) {
      ++replicas;
    }
  }
  text += fmt::format("\nreplica files: {}\n", replicas);
  return text;
}

std::string AskStatus(const fs::path& cache) {
  const auto status =
      cachefs::AskDaemon(cache / "control.sock", {{"command", "status"}}, nullptr, kDaemonPatience);
  if (!status.ok()) return status.error().ToString() + "\n";
  return status->dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string Redact(std::string_view text) {
  // NAME = VALUE, NAME: VALUE, "NAME": "VALUE", --NAME=VALUE and, on lines of their own, --NAME and
  // VALUE.
  static const std::regex kNamed(
      R"((\b[\w-]*(?:secret|passw|token|credential|authorization|access[-_]?key|private[-_]?key)[\w-]*"?\s*(?:[=:]|\n)\s*"?)([^\s",]+))",
      std::regex::icase);
  static const std::regex kAddress(R"((\w+://)[^/@\s]+@)");
  const std::string named = std::regex_replace(std::string(text), kNamed, "$1REDACTED");
  return std::regex_replace(named, kAddress, "$1REDACTED@");
}

Result<std::map<std::string, std::string>> GatherBugReport(const fs::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const Place place, FindPlace(path));
  std::map<std::string, std::string> report;
  const auto add = [&report](const char* name, std::function<std::string()> work) {
    const auto text = Bounded<std::string>(std::move(work));
    report[name] =
        text ? Redact(*text)
             : fmt::format("(this was not to be had within {} s)\n", kPartPatience.count());
  };
  add("system.txt", DescribeSystem);
  add("mounts.txt", DescribeMounts);
  if (place.pid) {
    add("process.txt", [pid = *place.pid] { return DescribeProcess(pid); });
    add("configuration.txt", [pid = *place.pid] { return DescribeConfiguration(pid); });
  } else {
    report["process.txt"] = "(no daemon is running)\n";
  }
  if (!place.cache.empty()) {
    add("status.json", [cache = place.cache] { return AskStatus(cache); });
    add("cache.txt", [cache = place.cache] { return DescribeCache(cache); });
    add("penstock.log",
        [cache = place.cache] { return ReadEnd(cache / "penstock.log", kLogBytes); });
  } else {
    report["cache.txt"] = "(nothing tells where the cache of this mount is)\n";
  }
  return report;
}

}  // namespace penstock::tools
