// The part of Operations that keeps what is open of a dataset that was written anew: faces by what
// the cache holds; a block of which the cache does not have everything by the store's file as it
// was when it was opened, verified like everything else.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "cachefs/fuse/operations.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

// What the cache has of a block is read without the store, too.
constexpr std::chrono::milliseconds kPatience{500};

Error NotAsItWas(const BlockSource& source, int64_t extent) {
  return Error::Corrupt("the block that is open was changed in the store")
      .In(source.path)
      .At(fmt::format("extent {}", extent))
      .AtOffset(source.extent_start(extent))
      .Advice("open it again");
}

}  // namespace

void Operations::OpenBlock(fuse_req_t request, const std::shared_ptr<Node>& node,
                           fuse_file_info* info) {
  if (!services_.store_keeps_open_files ||
      services_.cache->IsComplete(services_.cache->Pin(node->block))) {
    OpenCached(request, node, info, nullptr);
    return;
  }
  const auto work = [this, node, reply = *info](const Pending& pending) mutable {
    auto file = services_.upstream->Open(node->path);
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    OpenCached(claimed, node, &reply, file.ok() ? *std::move(file) : nullptr);
  };
  if (services_.watched->is_local()) {
    AskStore(request, work);
    return;
  }
  WithStore(
      *services_.metadata_workers, request, kPatience,
      [this, node, reply = *info](fuse_req_t claimed) {
        // Not in the thread that watches the time.
        notifier_.Submit(WorkerPool::Priority::kDemand, [this, node, claimed, reply]() mutable {
          OpenCached(claimed, node, &reply, nullptr);
        });
      },
      work);
}

void Operations::DatasetReplaced(const DatasetView& previous) {
  std::vector<std::shared_ptr<OpenFileHandle>> open;
  {
    const std::lock_guard lock(handles_mutex_);
    for (const auto& [number, handle] : files_) {
      const auto& block = handle->node->block;
      if (block && block->is_block() && block->dataset == previous.path &&
          block->generation == previous.generation) {
        open.push_back(handle);
      }
      if (!handle->face || handle->face->face().kind == FaceKind::kChecksumList) continue;
      const Face& face = handle->face->face();
      if (face.dataset == previous.path && face.generation == previous.generation) {
        open.push_back(handle);
      }
    }
  }
  for (const auto& handle : open) {
    if (handle->face) {
      handle->face->KeepReplicas();
    } else {
      const std::lock_guard lock(handle->mutex);
      handle->written_anew = handle->file != nullptr;
    }
  }
}

bool Operations::IsWrittenAnew(OpenFileHandle& handle) {
  const std::lock_guard lock(handle.mutex);
  return handle.written_anew;
}

bool Operations::MayBeWrittenAnew(OpenFileHandle& handle, const Error& error) {
  const std::lock_guard lock(handle.mutex);
  return handle.file != nullptr &&
         (error.kind() == ErrorKind::kCorrupt || error.kind() == ErrorKind::kNotFound);
}

void Operations::ReadAsOpened(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle,
                              size_t size, off_t offset) {
  WithStore(*services_.read_workers, request, [this, handle, size, offset](const Pending& pending) {
    const BlockSource& source = *handle->node->block;
    const auto begin = std::min(static_cast<uint64_t>(offset), source.file_bytes);
    const uint64_t end = std::min(begin + size, source.file_bytes);
    std::vector<std::byte> bytes(end - begin);
    Status read;
    for (uint64_t at = begin; read.ok() && at < end;) {
      const auto extent = static_cast<int64_t>(at / kExtentBytes);
      const uint64_t start = source.extent_start(extent);
      const uint64_t until = std::min(end, start + source.extent_bytes(extent));
      const auto of_file = ExtentAsOpened(*handle, extent);
      if (of_file.ok()) {
        std::memcpy(bytes.data() + (at - begin), (*of_file)->data() + (at - start), until - at);
      } else {
        read = of_file.error();
      }
      at = until;
    }
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (read.ok()) {
      fuse_reply_buf(claimed, reinterpret_cast<const char*>(bytes.data()), bytes.size());
    } else {
      ErrnoOf(read.error(), handle->node->path);
      fuse_reply_err(claimed, EIO);
    }
  });
}

Result<std::shared_ptr<const std::vector<std::byte>>> Operations::ExtentAsOpened(
    OpenFileHandle& handle, int64_t extent) {
  const BlockSource& source = *handle.node->block;
  std::shared_ptr<UpstreamFile> file;
  {
    const std::lock_guard lock(handle.mutex);
    if (handle.extent_as_opened.first == extent && handle.extent_as_opened.second) {
      return handle.extent_as_opened.second;
    }
    file = handle.file;
  }
  auto bytes = std::make_shared<std::vector<std::byte>>(source.extent_bytes(extent));
  PENSTOCK_ASSIGN_OR_RETURN(const size_t count, file->Read(source.extent_start(extent), *bytes));
  if (count != bytes->size() ||
      HashExtent(*bytes) != source.extent_checksum[static_cast<size_t>(extent)]) {
    return NotAsItWas(source, extent);
  }
  services_.counters->fetched_bytes += count;
  const std::lock_guard lock(handle.mutex);
  handle.written_anew = true;
  handle.extent_as_opened = {extent, bytes};
  return std::shared_ptr<const std::vector<std::byte>>(std::move(bytes));
}

}  // namespace penstock::cachefs
