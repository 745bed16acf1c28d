// The short-circuit protocol: a reader asks the cache daemon of its node for a read-only descriptor
// of a local, verified block.
//
// Transport: a SOCK_SEQPACKET UNIX socket whose path the mount publishes as the extended attribute
// "user.penstock.socket" on its root and on every dataset directory. One request is one packet, one
// reply is one packet; a granted block carries exactly one descriptor by SCM_RIGHTS. All integers
// are native-endian (both ends are on one machine). The lease lasts until the connection is closed
// or kRelease is sent; it keeps the replica from being evicted, and the descriptor stays readable
// in any case. The daemon checks the peer's uid and gid (SO_PEERCRED) against the block's
// permissions.
//
// Requests are never by path of a file: only (dataset, block).

#ifndef PENSTOCK_DATASET_LEASE_PROTOCOL_H_
#define PENSTOCK_DATASET_LEASE_PROTOCOL_H_

#include <cstdint>
#include <type_traits>

namespace penstock::lease {

inline constexpr uint32_t kMagic = 0x6b6c5350;  // "PSlk"
inline constexpr uint16_t kVersion = 1;
inline constexpr char kSocketAttribute[] = "user.penstock.socket";
// Path of the dataset relative to the root of the store, on every dataset directory of a mount.
inline constexpr char kDatasetAttribute[] = "user.penstock.dataset";

enum class Operation : uint16_t { kAcquire = 1, kRelease = 2, kResidency = 3 };

enum class Outcome : uint16_t {
  kGranted = 0,      // a descriptor is attached
  kNotResident = 1,  // not complete locally (yet); read through the mount, ask again later
  kDenied = 2,
  kNoSuchBlock = 3,
  kBadRequest = 4,
  kError = 5,
};

// Followed by `dataset_bytes` bytes of the dataset's path relative to the store's root.
struct Request {
  uint32_t magic;
  uint16_t version;
  Operation operation;
  int64_t block;
  uint32_t flags;  // kWait
  uint32_t dataset_bytes;
};
static_assert(sizeof(Request) == 24 && std::is_trivially_copyable_v<Request>);

// Wait until the block is complete (bounded by the daemon's fetch time-out) instead of
// kNotResident.
inline constexpr uint32_t kWait = 1;

// For kResidency, followed by one byte per block of the dataset: 0 absent, 1 partial, 2 complete.
struct Reply {
  uint32_t magic;
  Outcome outcome;
  uint16_t reserved;
  uint64_t lease;       // to be named in a kRelease request (in Request::block)
  uint64_t file_bytes;  // size of the block file
};
static_assert(sizeof(Reply) == 24 && std::is_trivially_copyable_v<Reply>);

inline constexpr uint32_t kMaximumPacketBytes = 64 * 1024;

}  // namespace penstock::lease

#endif  // PENSTOCK_DATASET_LEASE_PROTOCOL_H_
