#include "tools/penstock/mount_helper.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace penstock::tools {

namespace {

// What mount(8), fstab(5) and systemd.mount(5) use; a mount of penstock is read-only, without
// devices and set-user-id programs, and for every user in any case. "rw" is what mount(8) says
// where nobody said "ro".
constexpr auto kIgnored = std::to_array<std::string_view>({"defaults",
                                                           "ro",
                                                           "rw",
                                                           "auto",
                                                           "noauto",
                                                           "nofail",
                                                           "_netdev",
                                                           "user",
                                                           "nouser",
                                                           "users",
                                                           "owner",
                                                           "group",
                                                           "nosuid",
                                                           "suid",
                                                           "nodev",
                                                           "dev",
                                                           "exec",
                                                           "async",
                                                           "sync",
                                                           "atime",
                                                           "noatime",
                                                           "diratime",
                                                           "nodiratime",
                                                           "relatime",
                                                           "norelatime",
                                                           "strictatime",
                                                           "nostrictatime",
                                                           "lazytime",
                                                           "nolazytime",
                                                           "loud",
                                                           "silent",
                                                           "nomand",
                                                           "allow_other",
                                                           "default_permissions"});
constexpr auto kIgnoredPrefixes =
    std::to_array<std::string_view>({"x-", "X-", "comment=", "user=", "context="});

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool IsIgnored(std::string_view option) {
  return std::ranges::find(kIgnored, option) != kIgnored.end() ||
         std::ranges::any_of(kIgnoredPrefixes, [option](std::string_view prefix) {
           return option.starts_with(prefix);
         });
}

// Split at commas that are not in double quotes; the quotes are taken off.
std::vector<std::string> SplitOptions(std::string_view text) {
  std::vector<std::string> options(1);
  bool quoted = false;
  for (const char character : text) {
    if (character == '"') {
      quoted = !quoted;
    } else if (character == ',' && !quoted) {
      options.emplace_back();
    } else {
      options.back().push_back(character);
    }
  }
  std::erase(options, "");
  return options;
}

Status TakeOption(const std::string& option, bool sloppy, const KnownOptions& known,
                  MountHelperCall& call) {
  if (option == "noexec") {
    call.no_exec = true;
    return {};
  }
  if (IsIgnored(option)) return {};
  if (option == "remount") {
    return Error::InvalidArgument("a mount of penstock cannot be remounted")
        .Advice("unmount it and mount it anew");
  }
  const size_t equals = option.find('=');
  std::string name = option.substr(0, equals);
  std::ranges::replace(name, '_', '-');
  if (equals != std::string::npos && Contains(known.with_value, name)) {
    call.command.push_back("--" + name + "=" + option.substr(equals + 1));
    return {};
  }
  if (equals == std::string::npos && Contains(known.switches, name)) {
    call.command.push_back("--" + name);
    return {};
  }
  if (sloppy) return {};
  std::string expected;
  if (Contains(known.with_value, name)) expected = name + "=VALUE";
  if (Contains(known.switches, name)) expected = name;
  if (!expected.empty()) {
    return Error::InvalidArgument("the mount option is said otherwise")
        .Expected(expected)
        .Found(option);
  }
  return Error::InvalidArgument("there is no such mount option")
      .Found(option)
      .Advice("penstock mount --help lists them");
}

}  // namespace

bool IsMountHelper(const std::string& program) {
  const std::string name = program.substr(program.rfind('/') + 1);
  return name == "mount.penstock" || name == "mount.fuse.penstock";
}

Result<MountHelperCall> ReadMountHelperCall(const std::vector<std::string>& arguments,
                                            const KnownOptions& known) {
  MountHelperCall call;
  std::vector<std::string> places;
  std::vector<std::string> options;
  bool sloppy = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() < 2 || argument.front() != '-') {
      places.push_back(argument);
      continue;
    }
    // Switches may stand together: -sfv; the last may take a value.
    for (size_t letter = 1; letter < argument.size(); ++letter) {
      const char which = argument[letter];
      if (which == 's') sloppy = true;
      if (which == 'f') call.fake = true;
      if (which == 'v') call.verbose = true;
      if (std::string_view("sfvn").find(which) != std::string_view::npos) continue;
      if (std::string_view("otN").find(which) == std::string_view::npos) {
        return Error::InvalidArgument("there is no such switch").Found(argument);
      }
      std::string value = argument.substr(letter + 1);
      if (value.empty() && i + 1 < arguments.size()) value = arguments[++i];
      if (which == 'N') return Error::Unsupported("mounting in another namespace").Found(value);
      if (which == 'o') {
        for (std::string& option : SplitOptions(value)) options.push_back(std::move(option));
      }
      break;
    }
  }
  if (places.size() != 2) {
    return Error::InvalidArgument("what to mount where?")
        .Expected("mount.penstock STORE MOUNTPOINT [-o OPTIONS]");
  }
  call.mountpoint = places[1];
  call.command = {"penstock", "mount", places[0], places[1]};
  for (const std::string& option : options) {
    PENSTOCK_RETURN_IF_ERROR(TakeOption(option, sloppy, known, call));
  }
  return call;
}

Status ForbidPrograms(const std::string& mountpoint) {
  constexpr unsigned long kFlags =
      MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount(nullptr, mountpoint.c_str(), nullptr, kFlags, nullptr) == 0) return {};
  return Error::FromErrno(errno, "cannot set noexec").In(mountpoint);
}

}  // namespace penstock::tools
