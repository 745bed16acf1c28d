#include "catalog/index/presence.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"

namespace penstock::catalog {

namespace {

constexpr size_t kThreads = 8;
constexpr size_t kEntriesPerThread = 32;  // fewer are not worth a thread

Presence CheckOne(const StoreFolder& store, const Entry& entry) {
  const std::filesystem::path sidecar = store.dataset(entry.path) / "nexus.json";
  const Result<FileIdentity> identity = IdentifyFile(sidecar);
  if (!identity.ok()) {
    return identity.error().kind() == ErrorKind::kNotFound ? Presence::kVanished
                                                           : Presence::kUnreachable;
  }
  if (identity->size == entry.sidecar_bytes && identity->mtime_ns == entry.sidecar_mtime_ns) {
    return Presence::kPresent;
  }
  if (identity->size != entry.sidecar_bytes) return Presence::kChanged;
  const Result<std::string> digest = HashFile(sidecar);
  if (!digest.ok()) return Presence::kUnreachable;
  return *digest == entry.generation ? Presence::kPresent : Presence::kChanged;
}

}  // namespace

std::string_view PresenceName(Presence presence) {
  switch (presence) {
    case Presence::kPresent:
      return "present";
    case Presence::kChanged:
      return "changed";
    case Presence::kVanished:
      return "vanished";
    case Presence::kUnreachable:
      return "unreachable";
  }
  return "unknown";
}

void CheckPresence(const StoreFolder& store, std::vector<ListedEntry>& entries) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next.fetch_add(1); i < entries.size(); i = next.fetch_add(1)) {
      entries[i].presence = CheckOne(store, entries[i].entry);
    }
  };
  const size_t threads = std::min(kThreads, entries.size() / kEntriesPerThread);
  std::vector<std::jthread> others;
  for (size_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
}

}  // namespace penstock::catalog
