// ReplicaRecord and its bytes in the database.
//
// The encoding is read a million times when a daemon starts on a large cache, so it is binary: a
// version byte, then the fields in the order of the struct; numbers are little-endian base-128
// varints (zigzag where they are signed), texts a length and their bytes. New fields are only ever
// appended: a record that ends before them leaves them as they are by default. Records of the first
// version of penstock were JSON and are still read.

#ifndef PENSTOCK_CACHEFS_STATE_REPLICA_RECORD_H_
#define PENSTOCK_CACHEFS_STATE_REPLICA_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"

namespace penstock::cachefs {

struct ReplicaRecord {
  std::string dataset;
  std::string generation;
  int64_t block = 0;
  bool complete = false;
  std::string extents;    // ExtentMap::ToHex
  FileIdentity identity;  // of the replica file when the record was written
  // Of ordinary files only: the hashes of the extents that are there, in order; and when the
  // machine was started (boot_id), as nothing waits for their bytes to reach the disk.
  std::vector<uint64_t> checksums = {};
  std::string boot = {};
  int64_t verified_at = 0;  // Replica::verified_at
};

// What the sums of a cache are made of.
struct ReplicaOutline {
  std::string_view dataset;
  int64_t block = 0;
  bool complete = false;
  std::string_view extents;
  uint64_t file_bytes = 0;
};

std::string EncodeRecord(const ReplicaRecord& record);
// Nothing where the bytes are no record.
std::optional<ReplicaRecord> DecodeRecord(std::string_view bytes);
// The same of a part, and quicker, as there may be millions. Its texts lie in `bytes`, or in
// `storage` where the record is of the first version.
std::optional<ReplicaOutline> OutlineRecord(std::string_view bytes, ReplicaRecord& storage);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_REPLICA_RECORD_H_
