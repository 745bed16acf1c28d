// What a service tells systemd, over the datagram socket named by NOTIFY_SOCKET (sd_notify(3));
// without one nothing happens.

#ifndef PENSTOCK_TOOLS_SERVICE_NOTIFY_H_
#define PENSTOCK_TOOLS_SERVICE_NOTIFY_H_

#include <chrono>
#include <optional>
#include <string_view>

namespace penstock::tools {

// "READY=1", "STATUS=...", several lines at once. A failure is nobody's concern.
void NotifyService(std::string_view state);

// Waits until the service manager has taken what was sent before: it does not believe a process
// that has ended. Gives up after a few seconds.
void WaitForService();

// How often "WATCHDOG=1" has to be sent at the latest, where systemd asked this process for it.
std::optional<std::chrono::microseconds> WatchdogInterval();

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_SERVICE_NOTIFY_H_
