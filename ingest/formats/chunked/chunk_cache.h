// Decoded chunks of which frames are still to be asked for. Thread-safe.
//
// Frames are asked for in order, by several threads in different places. A chunk that spans several
// scan rows comes round once per row, so that the least recently used chunk is the next one needed:
// a full cache therefore keeps what it has, and gives up only what nobody has asked for in a long
// time.

#ifndef PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_CACHE_H_
#define PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_CACHE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "penstock/base/sole_owner.h"

namespace penstock::ingest::chunked {

class ChunkCache {
 public:
  using Buffer = std::shared_ptr<std::vector<std::byte>>;

  explicit ChunkCache(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // Null where the chunk is not there.
  Buffer Find(uint64_t key) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    found->second.used = ++clock_;
    return found->second.buffer;
  }

  // A buffer to decode into, for Keep. Null where there is no room: decode without keeping.
  Buffer Allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    ++clock_;
    if (held_ + bytes > limit_) GiveUpStale();
    if (held_ + bytes > limit_) return nullptr;
    held_ += bytes;
    for (size_t i = free_.size(); i-- > 0;) {
      if (free_[i]->size() != bytes) continue;
      Buffer buffer = std::move(free_[i]);
      free_.erase(free_.begin() + static_cast<ptrdiff_t>(i));
      return buffer;
    }
    free_.clear();
    return std::make_shared<std::vector<std::byte>>(bytes);
  }

  // `frames`: how many are still to be taken out of it.
  void Keep(uint64_t key, Buffer buffer, uint64_t frames) {
    const std::lock_guard lock(mutex_);
    const size_t bytes = buffer->size();
    const bool added =
        frames > 0 && entries_.try_emplace(key, Entry{std::move(buffer), frames, ++clock_}).second;
    if (!added) held_ -= bytes;  // another thread was faster, or nothing is left to take
  }

  // `frames` were taken out of the chunk.
  void Took(uint64_t key, uint64_t frames) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    found->second.frames -= std::min(found->second.frames, frames);
    if (found->second.frames == 0) Drop(found);
  }

 private:
  struct Entry {
    Buffer buffer;
    uint64_t frames = 0;
    uint64_t used = 0;
  };
  using Entries = std::unordered_map<uint64_t, Entry>;

  Entries::iterator Drop(Entries::iterator entry) {
    held_ -= entry->second.buffer->size();
    // A reader may still hold it; then it is not used again.
    if (free_.size() < 4 && IsSoleOwner(entry->second.buffer)) {
      free_.push_back(std::move(entry->second.buffer));
    }
    return entries_.erase(entry);
  }

  void GiveUpStale() {
    const uint64_t age = 16 * (entries_.size() + 16);
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      entry = entry->second.used + age < clock_ ? Drop(entry) : std::next(entry);
    }
  }

  const uint64_t limit_;
  std::mutex mutex_;
  Entries entries_;
  std::vector<Buffer> free_;
  uint64_t held_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace penstock::ingest::chunked

#endif  // PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_CACHE_H_
