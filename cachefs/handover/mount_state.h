// MountState: what the kernel knows of a mount and only its daemon can explain: node ids, open
// files, listings under way. The next daemon goes on with it (handover.h).
//
// What a node or an open file stands for comes along as the daemon has it in memory, checksums
// included, and not as names to be looked up again: a dataset that was written anew meanwhile makes
// no difference. As bytes it begins with its version; the fields are in the order of the code, all
// numbers 8 bytes, little-endian.

#ifndef PENSTOCK_CACHEFS_HANDOVER_MOUNT_STATE_H_
#define PENSTOCK_CACHEFS_HANDOVER_MOUNT_STATE_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/faces/face.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct MountState {
  // Another one cannot be read.
  static constexpr uint64_t kVersion = 2;

  // A node id that the kernel holds (fuse/node_table.h).
  struct HeldNode {
    uint64_t id = 0;
    std::string path;
    uint64_t lookups = 0;
    bool current = false;  // what the path stands for now
    mode_t type = 0;
    uint64_t device = 0;
    uint64_t inode = 0;
    std::shared_ptr<const BlockSource> block;  // or null
    std::shared_ptr<const Face> face;          // or null
    int32_t backing_id = 0;                    // registered in the kernel
    struct stat shown {};
  };
  struct HeldFile {
    uint64_t handle = 0;
    uint64_t node = 0;
    bool passthrough = false;
    bool in_store = false;  // the daemon has the file of the store open
    // Of a face; `dataset` is null for a list of checksums.
    std::string face_header;
    std::shared_ptr<const DatasetView> dataset;
  };
  struct HeldListing {
    uint64_t handle = 0;
    std::vector<DirectoryEntry> entries;
  };

  std::string init_request;  // the packet with which the kernel began
  bool passthrough = false;  // was agreed on with the kernel then
  uint64_t next_node = 0;
  uint64_t next_handle = 0;
  std::vector<HeldNode> nodes;  // but the root
  std::vector<HeldFile> files;
  std::vector<HeldListing> listings;
  // NAME=VALUE: how the service manager wants to be told of the mount (sd_notify(3)).
  std::vector<std::string> service_environment;
};

// Files of the store that are open through the mount, by handle.
using StoreFiles = std::unordered_map<uint64_t, std::shared_ptr<UpstreamFile>>;

std::string EncodeMountState(const MountState& state);

// kUnsupported for another version, kCorrupt for what is no whole state.
Result<MountState> DecodeMountState(std::string_view bytes);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_HANDOVER_MOUNT_STATE_H_
