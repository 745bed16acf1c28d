// A mount for Prometheus: the text exposition format 0.0.4.

#ifndef PENSTOCK_CACHEFS_SIGHT_METRICS_TEXT_H_
#define PENSTOCK_CACHEFS_SIGHT_METRICS_TEXT_H_

#include <string>

#include "cachefs/sight/mount_snapshot.h"

namespace penstock::cachefs {

// Every sample has the label `mount`, the mountpoint. docs/operation.md names the metrics.
std::string MetricsText(const MountSnapshot& snapshot);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_METRICS_TEXT_H_
