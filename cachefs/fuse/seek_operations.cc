// The part of Operations that says where files have holes (lseek with SEEK_DATA and SEEK_HOLE).
//
// A hole is shown only where nothing but zeros can be read: of a dataset's block the extents whose
// checksum is that of zeros; of another file what the store says of the state that is open. Where
// the store does not say, or does not answer, all of the file is data.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "cachefs/fuse/operations.h"
#include "cachefs/fuse/same_bytes.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

// Holes are a kindness; nobody waits for them as long as for bytes.
constexpr std::chrono::milliseconds kPatience{2'000};

// Nothing: ENXIO.
using Place = std::optional<uint64_t>;

void Reply(fuse_req_t request, const Place& place) {
  if (place) {
    fuse_reply_lseek(request, static_cast<off_t>(*place));
  } else {
    fuse_reply_err(request, ENXIO);
  }
}

// In a file without holes.
Place AllData(uint64_t offset, int whence, uint64_t size) {
  if (offset >= size) return std::nullopt;
  return whence == SEEK_DATA ? offset : size;
}

bool IsZeros(const BlockSource& block, int64_t extent) {
  static const uint64_t hash_of_zeros = HashExtent(std::vector<std::byte>(kExtentBytes));
  return block.extent_bytes(extent) == kExtentBytes &&
         block.extent_checksum[static_cast<size_t>(extent)] == hash_of_zeros;
}

Place InBlock(const BlockSource& block, uint64_t offset, int whence) {
  if (offset >= block.file_bytes) return std::nullopt;
  const bool want_hole = whence == SEEK_HOLE;
  for (auto extent = static_cast<int64_t>(offset / kExtentBytes); extent < block.extent_count();
       ++extent) {
    if (IsZeros(block, extent) == want_hole) return std::max(offset, block.extent_start(extent));
  }
  // Behind the last byte there is a hole, and no data.
  return want_hole ? Place(block.file_bytes) : std::nullopt;
}

}  // namespace

void Operations::Seek(fuse_req_t request, off_t offset, int whence, fuse_file_info* info) {
  const auto handle = FileOf(info->fh);
  if (!handle || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
    fuse_reply_err(request, handle ? EINVAL : EBADF);
    return;
  }
  if (offset < 0) {
    fuse_reply_err(request, ENXIO);
    return;
  }
  const auto from = static_cast<uint64_t>(offset);
  Node& node = *handle->node;
  if (handle->face) {
    Reply(request, AllData(from, whence, handle->face->face().total_bytes));
    return;
  }
  if (node.block && node.block->is_block()) {
    Reply(request, InBlock(*node.block, from, whence));
    return;
  }
  struct stat shown {};
  bool grown = false;
  {
    const std::lock_guard lock(node.mutex);
    shown = node.shown;
    grown = node.grown;
  }
  const Place all_data = AllData(from, whence, static_cast<uint64_t>(shown.st_size));
  WithStore(
      *services_.read_workers, request, std::min(kPatience, services_.upstream_timeout),
      [all_data](fuse_req_t claimed) { Reply(claimed, all_data); },
      [this, handle, shown, grown, from, whence, all_data](const Pending& pending) {
        const auto ask = [&]() -> Result<Place> {
          std::shared_ptr<UpstreamFile> file;
          {
            const std::lock_guard lock(handle->mutex);
            file = handle->file;
          }
          if (!file) {
            PENSTOCK_ASSIGN_OR_RETURN(file, services_.upstream->Open(handle->node->path));
          }
          const auto found = file->Seek(from, whence);
          PENSTOCK_ASSIGN_OR_RETURN(const struct stat now, file->Stat());
          // A node with a block is one state of the file; any other is the file as it is now.
          if (handle->node->block && !grown && !HasSameBytes(now, shown)) return all_data;
          if (found.ok()) return Place(*found);
          if (found.error().system_errno() == ENXIO) return Place();
          return AllData(from, whence, static_cast<uint64_t>(now.st_size));
        };
        const auto place = ask();
        if (const fuse_req_t claimed = pending->Claim()) {
          Reply(claimed, place.ok() ? *place : all_data);
        }
      });
}

}  // namespace penstock::cachefs
