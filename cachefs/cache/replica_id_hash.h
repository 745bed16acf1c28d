// ReplicaIdHash: hash tables by replica id.
//
// Ids are digits of a hash already, and they come from the database in their order: taking their
// first digits as they are makes neighbours there neighbours in the table, and a million are not
// looked up all over the memory.

#ifndef PENSTOCK_CACHEFS_CACHE_REPLICA_ID_HASH_H_
#define PENSTOCK_CACHEFS_CACHE_REPLICA_ID_HASH_H_

#include <algorithm>
#include <cstddef>
#include <string>

namespace penstock::cachefs {

struct ReplicaIdHash {
  // Not noexcept: then libstdc++ keeps the value with the entry and need not look at its
  // neighbours' keys.
  size_t operator()(const std::string& id) const {
    constexpr size_t kDigits = 6;
    size_t hash = 0;
    for (size_t digit = 0; digit < std::min(kDigits, id.size()); ++digit) {
      const auto character = static_cast<unsigned char>(id[digit]);
      hash = hash * 16 + (character <= '9' ? character & 15U : (character + 9U) & 15U);
    }
    return hash;
  }
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_REPLICA_ID_HASH_H_
