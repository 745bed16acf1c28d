// Which store a cache directory was used for last, so that a mount can begin while the store is
// away, without taking every mistyped name for one that is.

#ifndef PENSTOCK_CACHEFS_DAEMON_KNOWN_STORE_H_
#define PENSTOCK_CACHEFS_DAEMON_KNOWN_STORE_H_

#include <filesystem>
#include <optional>
#include <string>

namespace penstock::cachefs {

// `given`: as the user named it, absolute; `store`: where that led. Of an address they are the
// same.
struct KnownStore {
  std::string given;
  std::string store;
};

std::optional<KnownStore> ReadKnownStore(const std::filesystem::path& cache);
// What cannot be written is said in the log: it is missed where the store is away the next time.
void WriteKnownStore(const std::filesystem::path& cache, const KnownStore& known);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_DAEMON_KNOWN_STORE_H_
