// HoldingTable: what the cache directory holds, by replica id, with the sums per dataset kept as it
// changes, so that nobody has to walk over a million replicas to describe a cache. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_
#define PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "cachefs/cache/replica_id_hash.h"

namespace penstock::cachefs {

struct DatasetResidency {
  int64_t complete_blocks = 0;
  int64_t partial_blocks = 0;
  uint64_t bytes = 0;
};

// Of the files that are no blocks.
struct FileResidency {
  size_t files = 0;
  uint64_t bytes = 0;
};

// Bytes by top-level folder of the store; "" is what lies in its root.
using FolderSums = std::map<std::string, uint64_t, std::less<>>;

// By name; "" is also what no record tells of.
using DatasetSums = std::unordered_map<std::string, DatasetResidency>;

// One replica, whether or not it is loaded as a Replica.
struct Holding {
  // Owned by the table; its key is the dataset, of an ordinary file its path.
  DatasetSums::value_type* sums = nullptr;
  int64_t block = kUnknownBlock;
  uint64_t bytes = 0;  // of the disk
  int32_t extents_present = 0;
  bool complete = false;
  bool confirmed = false;  // its file was seen since the daemon started

  bool is_block() const { return block != kNoBlock; }
  const std::string& dataset() const { return sums->first; }
};

// A Holding by itself.
struct HeldReplica {
  std::string id;
  std::string dataset;
  int64_t block = kUnknownBlock;
  uint64_t bytes = 0;
};

class HoldingTable {
 public:
  // Adds or replaces; the bytes of one that is there stay.
  void Set(const std::string& id, const std::string& dataset, int64_t block,
           int64_t extents_present, bool complete, bool confirmed);
  // One that is not there yet, of which nothing but a record is known; for very many.
  void Add(const std::string& id, const std::string& dataset, int64_t block,
           int64_t extents_present, bool complete, uint64_t bytes);
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
  const FileResidency& files() const { return file_sum_; }
  const FolderSums& folders() const { return folders_; }
  uint64_t FolderBytes(std::string_view folder) const;
  std::vector<HeldReplica> Everything() const;
  void Reserve(size_t holdings) { holdings_.reserve(holdings); }

 private:
  DatasetSums& SumsFor(int64_t block) { return block == kNoBlock ? files_ : datasets_; }
  void AddToFolder(const Holding& holding, uint64_t bytes);
  void TakeFromFolder(const Holding& holding, uint64_t bytes);
  void Count(const Holding& holding);
  void Discount(const Holding& holding);
  void DropEmpty(const Holding& holding);

  std::unordered_map<std::string, Holding, ReplicaIdHash> holdings_;
  DatasetSums datasets_;
  DatasetSums files_;  // by path
  FileResidency file_sum_;
  FolderSums folders_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_HOLDING_TABLE_H_
