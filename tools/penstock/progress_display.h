// How the commands show progress: one updating line on a terminal, plain lines elsewhere, JSON
// lines for programs.

#ifndef PENSTOCK_TOOLS_PROGRESS_DISPLAY_H_
#define PENSTOCK_TOOLS_PROGRESS_DISPLAY_H_

#include <memory>

#include "penstock/base/progress.h"

namespace penstock::tools {

enum class ProgressStyle {
  kTerminal,  // standard error: one line that is rewritten, with rate and time left
  kPlain,     // standard error: a line when a phase begins, every ten seconds, and when it ends
  kJson,      // standard output: {"event":"begin"|"progress"|"note"|"end",...}, a line each
};

// kJson where asked for, else by whether standard error is a terminal.
ProgressStyle ChooseProgressStyle(bool json);

// The display draws from its own thread; it is thread-safe and ends its line when destroyed.
std::unique_ptr<ProgressSink> MakeProgressDisplay(ProgressStyle style);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PROGRESS_DISPLAY_H_
