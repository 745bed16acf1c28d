// One function per subcommand: it adds its options to the application and sets the callback that
// runs it. The callback ends with the exit status of docs/cli.md: 0 done, 1 failed, 2 usage, 3 done
// with anomalies that were reported.

#ifndef PENSTOCK_TOOLS_COMMANDS_H_
#define PENSTOCK_TOOLS_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <stop_token>
#include <string>

#include "penstock/base/error.h"

namespace penstock::tools {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitAnomalies = 3;

// Shared by all commands of one run.
struct CommandContext {
  std::vector<std::string> command_line;  // for provenance
  std::stop_token stop;                   // requested by SIGINT and SIGTERM
  int exit_status = kExitDone;            // set by the command's callback
};

// Prints "penstock: ERROR" to standard error and returns the exit status that fits its kind.
int ReportError(const Error& error);

// Every command_*.cc registers itself: a file-level `const CommandRegistration
// kIngest(&AddIngest);`.
using AddCommand = void (*)(CLI::App& app, CommandContext& context);
struct CommandRegistration {
  explicit CommandRegistration(AddCommand add);
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_COMMANDS_H_
