// S3-FIFO: which replica goes next when the cache is full (Yang et al., SOSP 2023).
//
// Three queues: new keys enter `small` (a tenth of the bytes) and leave the cache from there unless
// they were used again, so that one scan over a large store does not push out what is in use; keys
// used again live in `main`; `ghost` remembers keys that were evicted from `small` lately and lets
// them return straight to `main`. Sizes are bytes. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_S3_FIFO_H_
#define PENSTOCK_CACHEFS_CACHE_S3_FIFO_H_

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "cachefs/cache/replica_id_hash.h"

namespace penstock::cachefs {

class S3Fifo {
 public:
  // A key that is there already keeps its place and takes the new size.
  void Insert(const std::string& key, uint64_t bytes);
  void Resize(const std::string& key, uint64_t bytes);
  // The key was used.
  void Touch(const std::string& key);
  // The key is gone for another reason than eviction; it leaves no ghost.
  void Remove(const std::string& key);

  // Chooses a key for which `evictable` holds, removes it and returns it; nothing where there is
  // none. Keys that were passed over go to the back of their queue.
  std::optional<std::string> Evict(const std::function<bool(const std::string&)>& evictable);

  void Reserve(size_t keys) { entries_.reserve(keys); }
  uint64_t bytes() const { return small_.bytes + main_.bytes; }
  size_t size() const { return entries_.size(); }
  uint64_t BytesOf(const std::string& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? 0 : found->second.bytes;
  }
  bool Contains(const std::string& key) const { return entries_.contains(key); }

 private:
  static constexpr int kMaximumUses = 3;

  struct Queue {
    std::list<const std::string*> keys;  // those of `entries_`; oldest at the front
    uint64_t bytes = 0;
  };
  struct Entry {
    uint64_t bytes = 0;
    int uses = 0;
    bool in_main = false;
    std::list<const std::string*>::iterator place;
  };

  std::optional<std::string> EvictFromSmall(
      const std::function<bool(const std::string&)>& evictable);
  std::optional<std::string> EvictFromMain(
      const std::function<bool(const std::string&)>& evictable);
  void MoveToBack(Entry& entry, bool to_main);
  void Drop(const std::string& key);
  void RememberGhost(const std::string& key);
  Queue& QueueOf(const Entry& entry) { return entry.in_main ? main_ : small_; }

  std::unordered_map<std::string, Entry, ReplicaIdHash> entries_;
  Queue small_;
  Queue main_;
  std::list<std::string> ghosts_;  // oldest at the front
  std::unordered_map<std::string, std::list<std::string>::iterator> ghost_places_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_S3_FIFO_H_
