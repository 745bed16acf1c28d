// The reader's end of the short-circuit protocol (dataset/lease_protocol.h).

#ifndef PENSTOCK_READER_IO_LEASE_CLIENT_H_
#define PENSTOCK_READER_IO_LEASE_CLIENT_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "penstock/base/file.h"

namespace penstock {

// A descriptor of a complete local block. Hold it while the block is processed, then Release it.
struct BlockLease {
  FileDescriptor fd;
  uint64_t lease = 0;
};

// Thread-safe. Whatever goes wrong (no daemon, a daemon of another version, a time-out) means "no
// lease", and the caller reads by path; nothing is reported.
class LeaseClient {
 public:
  // Null where the directory is not a dataset on a penstock mount.
  static std::unique_ptr<LeaseClient> ForDataset(const std::filesystem::path& directory);

  // The descriptor of a block whose file has exactly `file_bytes`.
  std::optional<BlockLease> Acquire(int64_t block, uint64_t file_bytes);
  void Release(BlockLease lease);

 private:
  LeaseClient(FileDescriptor socket, std::string dataset);
  bool Send(uint16_t operation, int64_t block, bool with_dataset);

  std::mutex mutex_;
  FileDescriptor socket_;  // closed after the first failure
  std::string dataset_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_LEASE_CLIENT_H_
