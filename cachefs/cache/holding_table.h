// HoldingTable: what the cache directory holds, by replica id, with the sums per dataset kept as it
// changes, so that nobody has to walk over a million replicas to describe a cache. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_
#define PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "cachefs/cache/replica_id_hash.h"

namespace penstock::cachefs {

struct DatasetResidency {
  int64_t complete_blocks = 0;
  int64_t partial_blocks = 0;
  uint64_t bytes = 0;
};

// By name; "" is what no record tells of.
using DatasetSums = std::unordered_map<std::string, DatasetResidency>;

// One replica, whether or not it is loaded as a Replica.
struct Holding {
  DatasetSums::value_type* sums = nullptr;  // owned by the table; its key is the dataset
  int64_t block = -1;
  uint64_t bytes = 0;  // of the disk
  int32_t extents_present = 0;
  bool complete = false;
  bool confirmed = false;  // its file was seen since the daemon started
};

class HoldingTable {
 public:
  // Adds or replaces; the bytes of one that is there stay.
  void Set(const std::string& id, const std::string& dataset, int64_t block,
           int64_t extents_present, bool complete, bool confirmed);
  void SetBytes(const std::string& id, uint64_t bytes);
  // False where it is not there.
  bool Confirm(const std::string& id);
  void Erase(const std::string& id);

  // Null where it is not there; valid until the next change.
  const Holding* Find(const std::string& id) const;
  std::vector<std::string> Unconfirmed() const;
  size_t size() const { return holdings_.size(); }
  // Datasets of which something is held.
  const DatasetSums& datasets() const { return datasets_; }
  void Reserve(size_t holdings) { holdings_.reserve(holdings); }

 private:
  static void Count(const Holding& holding);
  static void Discount(const Holding& holding);
  void DropEmpty(const Holding& holding);

  std::unordered_map<std::string, Holding, ReplicaIdHash> holdings_;
  DatasetSums datasets_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_
