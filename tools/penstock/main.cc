// The penstock command: collects the subcommands, turns signals into a stop request, runs one.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <thread>
#include <vector>

#include "tools/penstock/commands.h"
#include "tools/penstock/mount_helper.h"

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
      {"repack", "Vendor files to datasets"},
      {"simulate", "Vendor files to datasets"},
      {"watch", "Vendor files to datasets"},
      {"ls", "What exists"},
      {"show", "What exists"},
      {"verify", "What exists"},
      {"catalog", "What exists"},
      {"mount", "Local replicas"},
      {"unmount", "Local replicas"},
      {"status", "Local replicas"},
      {"locate", "Local replicas"},
      {"bugreport", "Local replicas"},
      {"warm", "Local replicas"},
      {"evict", "Local replicas"},
      {"apply", "Processing"},
      {"com", "Processing"},
      {"radial", "Processing"},
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

namespace {

// What mount(8) wants to hear: mount(8), "EXIT STATUS".
int MountExitStatus(int status) {
  constexpr int kIncorrectInvocation = 1;
  constexpr int kMountFailure = 32;
  if (status == kExitDone) return 0;
  return status == kExitUsage ? kIncorrectInvocation : kMountFailure;
}

KnownOptions OptionsOf(const CLI::App& command) {
  KnownOptions known;
  for (const CLI::Option* const option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      (option->get_expected_min() == 0 ? known.switches : known.with_value).push_back(name);
    }
  }
  return known;
}

// Called by mount(8): the same as `penstock mount`, said in its words.
int MainOfMountHelper(CLI::App& app, CommandContext& context) {
  const std::vector<std::string> given(context.command_line.begin() + 1,
                                       context.command_line.end());
  auto call = ReadMountHelperCall(given, OptionsOf(*app.get_subcommand("mount")));
  if (!call.ok()) return MountExitStatus(ReportError(call.error()));
  context.command_line = call->command;
  if (call->verbose) fmt::print("{}\n", fmt::join(call->command, " "));
  if (call->fake) return MountExitStatus(kExitDone);
  std::vector<std::string> reversed(call->command.rbegin(), call->command.rend() - 1);
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return MountExitStatus(app.exit(error) == 0 ? kExitDone : kExitUsage);
  }
  if (context.exit_status == kExitDone && call->no_exec) {
    if (const Status forbidden = ForbidPrograms(call->mountpoint); !forbidden.ok()) {
      return MountExitStatus(ReportError(forbidden.error()));
    }
  }
  return MountExitStatus(context.exit_status);
}

}  // namespace

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
  if (argc > 0 && IsMountHelper(argv[0])) {
    WatchSignals(stop);
    return MainOfMountHelper(app, context);
  }
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
