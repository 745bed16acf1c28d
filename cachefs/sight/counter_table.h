// The counters by name, for everybody who shows them.

#ifndef PENSTOCK_CACHEFS_SIGHT_COUNTER_TABLE_H_
#define PENSTOCK_CACHEFS_SIGHT_COUNTER_TABLE_H_

#include <span>

#include "cachefs/cache/counters.h"

namespace penstock::cachefs {

struct CounterDescription {
  const char* name;  // as in the JSON of the status; Prometheus: penstock_cache_NAME_total
  const char* help;
  std::atomic<uint64_t> CacheCounters::*counter;
};

std::span<const CounterDescription> CounterTable();

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_COUNTER_TABLE_H_
