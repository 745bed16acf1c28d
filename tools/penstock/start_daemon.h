// Starting the daemon of a mount in the background.

#ifndef PENSTOCK_TOOLS_PENSTOCK_START_DAEMON_H_
#define PENSTOCK_TOOLS_PENSTOCK_START_DAEMON_H_

#include <string>
#include <vector>

#include "tools/penstock/commands.h"

namespace penstock::tools {

// Runs the command line again with --foreground and --ready-fd, as a process of its own that is
// nobody's child but that of process 1 or the service manager, and returns when its mount is up or
// it has ended; the exit status. (systemd takes a main process that is not its own child for
// somebody else's, and does not wait for it when the unit is stopped.)
int StartDaemon(std::vector<std::string> command, const CommandContext& context);

// In that process, once, to the one that waits: that the mount is up, or with what exit status this
// process ends. False where nobody waits any more.
bool TellReady(int ready_fd);
bool TellFailed(int ready_fd, int exit_status);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PENSTOCK_START_DAEMON_H_
