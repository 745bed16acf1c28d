// Host names to addresses in bounded time, also where the name servers do not answer.

#ifndef PENSTOCK_CACHEFS_PEERS_RESOLVE_H_
#define PENSTOCK_CACHEFS_PEERS_RESOLVE_H_

#include <netdb.h>

#include <chrono>
#include <memory>

#include "cachefs/peers/members.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// At least one address. kTimeout, and kIo where there is none. Thread-safe.
Result<Addresses> Resolve(const HostAndPort& name, std::chrono::steady_clock::time_point deadline);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_RESOLVE_H_
