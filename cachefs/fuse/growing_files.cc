// The part of Operations that lets a file grow that was quiet when it was opened: what is written
// behind its end is seen by those who have it open.
//
// From then on its node is no single state any more but the file as it is, read from the store, as
// one is that was being written when it was opened. Whether what was read of it before is still
// there is proved once, by the last extents that the cache knows the hashes of; a file that was
// written anew is none that has grown, and its readers keep the state that they opened.

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "cachefs/fuse/operations.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

constexpr int64_t kExtentsProved = 4;

// What the extent of the earlier state hashed to; nothing where nobody has read it.
std::optional<uint64_t> HashBefore(const ReplicaPin& replica, int64_t extent) {
  const std::lock_guard lock(replica->mutex);
  return replica->ChecksumOf(extent);
}

bool HoldsWhatItHeld(UpstreamFile& file, const BlockSource& before, const ReplicaPin& replica) {
  std::vector<std::byte> bytes;
  const int64_t count = before.extent_count();
  for (int64_t extent = std::max<int64_t>(0, count - kExtentsProved); extent < count; ++extent) {
    const auto expected = HashBefore(replica, extent);
    if (!expected) continue;
    bytes.resize(before.extent_bytes(extent));
    const auto read = file.Read(before.extent_start(extent), bytes);
    if (!read.ok() || *read != bytes.size() || HashExtent(bytes) != *expected) return false;
  }
  return true;
}

bool IsSameFileOfStore(const struct stat& status, const Node& node) {
  return status.st_dev == node.device && status.st_ino == node.inode;
}

}  // namespace

bool Operations::HasGrown(const std::shared_ptr<Node>& node, const struct stat& now) {
  if (!node->block || node->block->is_block() || !IsSameFileOfStore(now, *node)) return false;
  {
    const std::lock_guard lock(node->mutex);
    if (node->grown) return true;
    // The kernel reads a replica that it was given by itself, to the end of that.
    if (node->backing_id > 0 || node->served_opens == 0) return false;
  }
  if (static_cast<uint64_t>(now.st_size) <= node->block->file_bytes) return false;
  const auto file = services_.upstream->Open(node->path);
  if (!file.ok()) return false;
  const auto opened = (*file)->Stat();
  if (!opened.ok() || !IsSameFileOfStore(*opened, *node) ||
      static_cast<uint64_t>(opened->st_size) <= node->block->file_bytes) {
    return false;
  }
  if (!HoldsWhatItHeld(**file, *node->block, services_.cache->Pin(node->block))) return false;
  const std::lock_guard lock(node->mutex);
  if (node->backing_id > 0) return false;
  node->grown = true;
  return true;
}

void Operations::ReadAtEnd(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle,
                           size_t size, off_t offset) {
  WithStore(*services_.read_workers, request, [this, handle, size, offset](const Pending& pending) {
    const auto status = services_.upstream->Stat(handle->node->path);
    std::vector<std::byte> bytes;
    if (status.ok() && HasGrown(handle->node, *status)) {
      bytes.resize(size);
      const auto read = ReadFromStore(*handle, static_cast<uint64_t>(offset), bytes);
      bytes.resize(read.ok() ? *read : 0);
    }
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    fuse_reply_buf(claimed, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
}

}  // namespace penstock::cachefs
