// penstock restart.

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

Result<std::vector<std::string>> CommandLineOf(pid_t process) {
  const std::string path = fmt::format("/proc/{}/cmdline", process);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\0', begin);
    words.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) break;
    begin = end + 1;
  }
  if (words.size() > 1 && words[1] == "mount") return words;
  return Error::NotFound("the daemon's command line cannot be read")
      .In(path)
      .Advice("run penstock mount with its arguments and --replace");
}

// The command that starts the next daemon in the background.
Result<std::vector<std::string>> SuccessorCommand(pid_t process) {
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<std::string> words, CommandLineOf(process));
  bool names_directory = false;
  std::vector<std::string> command;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--ready-fd") {
      ++i;  // and its value
    } else if (words[i] != "--foreground" && words[i] != "--replace") {
      if (words[i] == "--directory") names_directory = true;
      command.push_back(words[i]);
    }
  }
  command.emplace_back("--replace");
  if (!names_directory) {
    std::error_code failure;
    const auto directory =
        std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", process), failure);
    if (failure) {
      return Error::FromErrno(failure.value(), "cannot tell the daemon's working directory");
    }
    command.insert(command.end(), {"--directory", directory.string()});
  }
  return command;
}

Result<pid_t> DaemonOf(const std::string& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto address, cachefs::FindControlSocket(path));
  PENSTOCK_ASSIGN_OR_RETURN(const Json status,
                            cachefs::AskDaemon(address.socket, {{"command", "status"}}, nullptr));
  return status.value("pid", 0);
}

// `daemon`: where it is known already.
int Restart(const std::string& path, pid_t daemon) {
  if (daemon == 0) {
    const auto found = DaemonOf(path);
    if (!found.ok()) return ReportError(found.error());
    daemon = *found;
  }
  auto command = SuccessorCommand(daemon);
  if (!command.ok()) return ReportError(command.error());
  std::vector<char*> arguments;
  arguments.reserve(command->size() + 1);
  for (std::string& word : *command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  return ReportError(Error::FromErrno(errno, "cannot start the next daemon"));
}

void AddRestart(CLI::App& app, CommandContext& context) {
  auto path = std::make_shared<std::string>();
  auto daemon = std::make_shared<pid_t>(0);
  CLI::App* const command = app.add_subcommand(
      "restart", "replace the daemon of a mount by this version; what is open goes on");
  CLI::Option* const mount =
      command->add_option("MOUNTPOINT", *path, "The mount, or its cache directory");
  CLI::Option* const process =
      command->add_option("--pid", *daemon, "The daemon's process, in place of MOUNTPOINT")
          ->check(CLI::PositiveNumber)
          ->excludes(mount);
  command->callback([path, daemon, mount, process, &context] {
    if (mount->count() + process->count() == 0) throw CLI::RequiredError("MOUNTPOINT");
    context.exit_status = Restart(*path, *daemon);
  });
}

const CommandRegistration kRestart(&AddRestart);

}  // namespace

}  // namespace penstock::tools
