#include "cachefs/cache/s3_fifo.h"

#include <algorithm>

namespace penstock::cachefs {

void S3Fifo::Insert(const std::string& key, uint64_t bytes) {
  const auto [inserted, is_new] = entries_.try_emplace(key);
  if (!is_new) {
    Resize(key, bytes);
    return;
  }
  Entry& entry = inserted->second;
  entry.bytes = bytes;
  const auto ghost = ghost_places_.find(key);
  entry.in_main = ghost != ghost_places_.end();
  if (entry.in_main) {
    ghosts_.erase(ghost->second);
    ghost_places_.erase(ghost);
  }
  Queue& queue = QueueOf(entry);
  entry.place = queue.keys.insert(queue.keys.end(), &inserted->first);
  queue.bytes += bytes;
}

void S3Fifo::Resize(const std::string& key, uint64_t bytes) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Queue& queue = QueueOf(found->second);
  queue.bytes = queue.bytes - found->second.bytes + bytes;
  found->second.bytes = bytes;
}

void S3Fifo::Touch(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  found->second.uses = std::min(found->second.uses + 1, kMaximumUses);
}

void S3Fifo::Remove(const std::string& key) {
  if (entries_.contains(key)) Drop(key);
}

std::optional<std::string> S3Fifo::Evict(const std::function<bool(const std::string&)>& evictable) {
  const bool small_is_over = small_.bytes * 10 > bytes();
  if (small_is_over || main_.keys.empty()) {
    if (auto key = EvictFromSmall(evictable)) return key;
    return EvictFromMain(evictable);
  }
  if (auto key = EvictFromMain(evictable)) return key;
  return EvictFromSmall(evictable);
}

std::optional<std::string> S3Fifo::EvictFromSmall(
    const std::function<bool(const std::string&)>& evictable) {
  // Every key is looked at once: it is promoted, passed over or chosen.
  for (size_t left = small_.keys.size(); left > 0; --left) {
    const std::string key = *small_.keys.front();
    Entry& entry = entries_.at(key);
    if (entry.uses > 1) {
      entry.uses = 0;
      MoveToBack(entry, /*to_main=*/true);
    } else if (!evictable(key)) {
      MoveToBack(entry, /*to_main=*/false);
    } else {
      Drop(key);
      RememberGhost(key);
      return key;
    }
  }
  return std::nullopt;
}

std::optional<std::string> S3Fifo::EvictFromMain(
    const std::function<bool(const std::string&)>& evictable) {
  // Each round lowers the count of every used key, so kMaximumUses + 1 rounds see all at zero.
  for (size_t left = main_.keys.size() * (kMaximumUses + 1); left > 0; --left) {
    const std::string key = *main_.keys.front();
    Entry& entry = entries_.at(key);
    if (entry.uses > 0) {
      --entry.uses;
      MoveToBack(entry, /*to_main=*/true);
    } else if (!evictable(key)) {
      MoveToBack(entry, /*to_main=*/true);
    } else {
      Drop(key);
      return key;
    }
  }
  return std::nullopt;
}

void S3Fifo::MoveToBack(Entry& entry, bool to_main) {
  Queue& from = QueueOf(entry);
  Queue& to = to_main ? main_ : small_;
  to.keys.splice(to.keys.end(), from.keys, entry.place);
  from.bytes -= entry.bytes;
  to.bytes += entry.bytes;
  entry.in_main = to_main;
}

void S3Fifo::Drop(const std::string& key) {
  const auto found = entries_.find(key);
  Queue& queue = QueueOf(found->second);
  queue.bytes -= found->second.bytes;
  queue.keys.erase(found->second.place);
  entries_.erase(found);
}

void S3Fifo::RememberGhost(const std::string& key) {
  ghost_places_[key] = ghosts_.insert(ghosts_.end(), key);
  // As many ghosts as there are keys in the cache, with a floor for small caches.
  const size_t limit = std::max<size_t>(entries_.size(), 16);
  while (ghosts_.size() > limit) {
    ghost_places_.erase(ghosts_.front());
    ghosts_.pop_front();
  }
}

}  // namespace penstock::cachefs
