// The penstock command: collects the subcommands, turns signals into a stop request, runs one.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <thread>
#include <vector>

#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

std::vector<AddCommand>& Registrations() {
  static std::vector<AddCommand> registrations;
  return registrations;
}

// A thread waits for SIGINT and SIGTERM, so that stop callbacks run in ordinary context. The second
// signal ends the process at once, in the way that the signal itself would have.
void WatchSignals(std::stop_source stop) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, stop]() mutable {
    int received = 0;
    sigwait(&signals, &received);
    stop.request_stop();
    sigwait(&signals, &received);
    std::signal(received, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    std::raise(received);
  }).detach();
}

// `penstock --help` lists the commands by what one wants to do.
void GroupCommands(CLI::App& app) {
  static const std::map<std::string_view, const char*> kGroups = {
      {"info", "Vendor files to datasets"},
      {"ingest", "Vendor files to datasets"},
      {"simulate", "Vendor files to datasets"},
      {"watch", "Vendor files to datasets"},
      {"ls", "What exists"},
      {"show", "What exists"},
      {"verify", "What exists"},
      {"catalog", "What exists"},
      {"mount", "Local replicas"},
      {"unmount", "Local replicas"},
      {"status", "Local replicas"},
      {"warm", "Local replicas"},
      {"evict", "Local replicas"},
      {"apply", "Processing"},
      {"com", "Processing"},
      {"stat", "Processing"},
      {"pick", "Processing"},
  };
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const auto group = kGroups.find(command->get_name());
    if (group != kGroups.end()) command->group(group->second);
  }
}

// CLI11 only says that a command is missing.
bool IsUnknownCommand(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->check_name(argv[1])) return false;
  }
  return true;
}

}  // namespace

CommandRegistration::CommandRegistration(AddCommand add) { Registrations().push_back(add); }

int ReportError(const Error& error) {
  std::fprintf(stderr, "penstock: %s\n", error.ToString().c_str());
  return error.kind() == ErrorKind::kInvalidArgument ? kExitUsage : kExitFailed;
}

int Main(int argc, char** argv) {
  CLI::App app("penstock: ingest, cache and stream electron-microscopy detector data");
  app.set_version_flag("--version", std::string("penstock " PENSTOCK_VERSION));
  app.require_subcommand(1);

  std::stop_source stop;
  CommandContext context;
  context.command_line.assign(argv, argv + argc);
  context.stop = stop.get_token();
  for (const AddCommand add : Registrations()) add(app, context);

  GroupCommands(app);
  if (IsUnknownCommand(app, argc, argv)) {
    return ReportError(Error::InvalidArgument(fmt::format("there is no command '{}'", argv[1]))
                           .Advice("penstock --help lists the commands"));
  }
  WatchSignals(stop);
  try {
    app.parse(argc, argv);  // runs the subcommand's callback
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitUsage;
  }
  return context.exit_status;
}

}  // namespace penstock::tools

int main(int argc, char** argv) { return penstock::tools::Main(argc, argv); }
