// What `penstock status` shows: the daemon's answer for people, and what happened between two.

#ifndef PENSTOCK_TOOLS_STATUS_VIEW_H_
#define PENSTOCK_TOOLS_STATUS_VIEW_H_

#include <string>

#include "penstock/dataset/description.h"

namespace penstock::tools {

// {"seconds", "COUNTER_per_second" for every counter, "latency": {"upstream_read": {"count",
// "p50_seconds", "p90_seconds", "p99_seconds"}, "upstream_metadata": ...}} of the time between two
// answers of one daemon. Null where the second is of another daemon.
Json RatesBetween(const Json& before, const Json& after);

// Lines of "name value"; `rates` may be null.
std::string StatusText(const Json& status, const Json& rates);

// One line of what happened, for a log.
std::string RatesLine(const Json& status, const Json& rates);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_STATUS_VIEW_H_
