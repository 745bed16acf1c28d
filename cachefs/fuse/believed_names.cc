#include "cachefs/fuse/believed_names.h"

#include <algorithm>
#include <utility>

#include "cachefs/cache/block_source.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::milliseconds kShortest{1'000};
// A change that follows another one within the resolution of a directory's times leaves the same
// times; those of NFS servers may be as coarse as a second.
constexpr std::chrono::milliseconds kDirectoryQuiet{3'000};
// So many questions a second are no burden to any store.
constexpr size_t kMostDirectories = 256;

}  // namespace

BelievedNames::BelievedNames(std::chrono::milliseconds longest,
                             std::chrono::milliseconds settle_time)
    : longest_(longest), settle_time_(settle_time) {}

bool BelievedNames::ListedAs(const std::string& directory, const Listing& listing,
                             Upstream& upstream) {
  if (longest_ <= kShortest || listing->size() < kLargeDirectory) return false;
  Directory now;
  for (const DirectoryEntry& entry : *listing) {
    if (entry.status) now.by_name.emplace(entry.name, entry.status.get());
  }
  now.listed = Clock::now();
  if (!now.by_name.empty()) {
    now.listing = listing;
    now.until = now.listed + longest_;
  } else {
    // After the listing is early enough: what the kernel is told of the entries is asked for later.
    const auto status = upstream.Stat(directory);
    if (!status.ok() || status->st_mtim.tv_sec == 0 || !IsSettled(*status, kDirectoryQuiet)) {
      return false;
    }
    now.state = IdentityOf(*status);
    now.until = now.listed;
  }
  const std::lock_guard lock(mutex_);
  const auto known = directories_.find(directory);
  if (known == directories_.end()) {
    if (directories_.size() < kMostDirectories) directories_.emplace(directory, std::move(now));
    return false;
  }
  const bool changed = now.listing == nullptr && !(known->second.state == now.state);
  now.until = std::max(now.until, known->second.until);
  known->second = std::move(now);
  return changed;
}

std::optional<struct stat> BelievedNames::FromListing(const std::string& directory,
                                                      const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto known = directories_.find(directory);
  if (known == directories_.end() || known->second.listing == nullptr ||
      Clock::now() - known->second.listed > longest_) {
    return std::nullopt;
  }
  const auto entry = known->second.by_name.find(name);
  if (entry == known->second.by_name.end()) return std::nullopt;
  return *entry->second;
}

double BelievedNames::SecondsFor(const std::string& directory, const struct stat& entry) {
  if (!S_ISREG(entry.st_mode) && !S_ISLNK(entry.st_mode)) return kBelievedSeconds;
  const std::lock_guard lock(mutex_);
  const auto known = directories_.find(directory);
  if (known == directories_.end() || !IsSettled(entry, settle_time_)) return kBelievedSeconds;
  const auto now = Clock::now();
  auto time = std::chrono::duration<double>(longest_);
  if (known->second.listing != nullptr) {
    time -= now - known->second.listed;
  } else {
    known->second.until = now + longest_;
  }
  return std::max(kBelievedSeconds, time.count());
}

bool BelievedNames::Watches(const std::string& directory) const {
  const std::lock_guard lock(mutex_);
  return directories_.contains(directory);
}

bool BelievedNames::watches_any() const {
  const std::lock_guard lock(mutex_);
  return !directories_.empty();
}

void BelievedNames::Doubt(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  const auto known = directories_.find(directory);
  if (known != directories_.end() && known->second.listing != nullptr) directories_.erase(known);
}

std::vector<std::string> BelievedNames::TakeChanged(Upstream& upstream) {
  std::vector<std::pair<std::string, FileIdentity>> watched;
  std::vector<Listing> dropped;  // destroyed outside the lock
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    for (auto each = directories_.begin(); each != directories_.end();) {
      if (each->second.until >= now) {
        ++each;
        continue;
      }
      dropped.push_back(std::move(each->second.listing));
      each = directories_.erase(each);
    }
    for (const auto& [path, directory] : directories_) {
      if (directory.listing == nullptr) watched.emplace_back(path, directory.state);
    }
  }
  std::vector<std::string> changed;
  for (const auto& [path, state] : watched) {
    const auto status = upstream.Stat(path);
    if (status.ok() && IdentityOf(*status) == state) continue;
    const std::lock_guard lock(mutex_);
    // Listed anew meanwhile, it was looked at then.
    const auto known = directories_.find(path);
    if (known == directories_.end() || !(known->second.state == state)) continue;
    directories_.erase(known);
    changed.push_back(path);
  }
  return changed;
}

}  // namespace penstock::cachefs
