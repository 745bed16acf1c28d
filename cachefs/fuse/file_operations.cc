// The part of Operations that opens and reads files.

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cachefs/fuse/operations.h"
#include "cachefs/fuse/same_bytes.h"

namespace penstock::cachefs {

namespace {

bool IsFileOf(const Node& node, const struct stat& status) {
  return node.device == status.st_dev && node.inode == status.st_ino;
}

// Whether the kernel holds a name for another file than the one that has it now, or an old size, by
// which it would cut the file off.
bool IsOutdated(Node& node, const struct stat& status) {
  if (!IsFileOf(node, status)) return true;
  const std::lock_guard lock(node.mutex);
  return !(IdentityOf(node.shown) == IdentityOf(status));
}

// The path is gone or stands for another state of the file.
bool HasLostItsName(const Error& error) {
  return error.system_errno() == ESTALE || error.kind() == ErrorKind::kNotFound;
}

bool IsPassedThrough(Node& node) {
  const std::lock_guard lock(node.mutex);
  return node.backing_id > 0;
}

// Smaller files that are no blocks are read from the kernel's memory anyway, and logs among them
// are to grow for those who have them open: the kernel reads what it was given by itself.
constexpr uint64_t kSmallFile = uint64_t{64} << 20;

bool MayPassThrough(const BlockSource& source) {
  return source.is_block() || source.file_bytes >= kSmallFile;
}

bool IsGrown(Node& node) {
  const std::lock_guard lock(node.mutex);
  return node.grown;
}

}  // namespace

void Operations::Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  // The mount is read-only; this also holds if somebody remounts it. A writable open of a passed
  // through file would write into the replica.
  if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0) {
    fuse_reply_err(request, EROFS);
    return;
  }
  if (node->face) {
    OpenFaceFile(request, node, info);
  } else if (!node->block) {
    OpenPlain(request, node, info);
  } else if (node->block->is_block()) {
    OpenBlock(request, node, info);
  } else {
    OpenSettled(request, node, info);
  }
}

std::optional<HeldOpen> Operations::TakeHeld(pid_t thread, const Node& node) {
  auto held = held_opens_.Take(thread, node.path);
  if (!held) return held;
  const bool fits = node.face    ? held->face && held->face->face().id == node.face->id
                    : node.block ? held->file && IdentityOf(held->status) == node.block->identity
                                 : held->file && IsFileOf(node, held->status);
  return fits ? std::move(held) : std::nullopt;
}

void Operations::SendBack(fuse_req_t request, pid_t thread, const Node& node) {
  DoubtListing(node.path);
  held_opens_.SentBack(thread, node.path);
  fuse_reply_err(request, ESTALE);
}

void Operations::OpenSettled(fuse_req_t request, const std::shared_ptr<Node>& node,
                             fuse_file_info* info) {
  const pid_t thread = fuse_req_ctx(request)->pid;
  if (auto held = TakeHeld(thread, *node)) {
    OpenCached(request, node, info, std::move(held->file));
    return;
  }
  WithStore(*services_.metadata_workers, request,
            [this, node, thread, reply = *info](const Pending& pending) mutable {
              std::shared_ptr<UpstreamFile> file;
              auto status = services_.upstream->Stat(node->path);
              // What has not been fetched yet is read from this descriptor should the file lose
              // its name.
              if (status.ok() && !services_.cache->IsComplete(services_.cache->Pin(node->block))) {
                auto opened = services_.upstream->Open(node->path);
                status = opened.ok() ? (*opened)->Stat() : opened.error();
                if (opened.ok()) file = *std::move(opened);
              }
              const fuse_req_t claimed = pending->Claim();
              if (claimed == nullptr) return;
              if (!status.ok()) {
                fuse_reply_err(claimed, ErrnoOf(status.error(), node->path));
              } else if (!(IdentityOf(*status) == node->block->identity)) {
                SendBack(claimed, thread, *node);
              } else {
                OpenCached(claimed, node, &reply, std::move(file));
              }
            });
}

void Operations::OpenPlain(fuse_req_t request, const std::shared_ptr<Node>& node,
                           fuse_file_info* info) {
  const pid_t thread = fuse_req_ctx(request)->pid;
  WithStore(*services_.metadata_workers, request,
            [this, node, thread, reply = *info](const Pending& pending) mutable {
              auto held = TakeHeld(thread, *node);
              auto file = held ? std::move(held->file) : services_.upstream->Open(node->path);
              Result<struct stat> status = held        ? held->status
                                           : file.ok() ? (*file)->Stat()
                                                       : file.error();
              const fuse_req_t claimed = pending->Claim();
              if (claimed == nullptr) return;
              if (!status.ok()) {
                fuse_reply_err(claimed, ErrnoOf(status.error(), node->path));
                return;
              }
              if (!held && IsOutdated(*node, *status)) {
                SendBack(claimed, thread, *node);
                return;
              }
              WasOpened(*node);
              // Not before the file is open: from then on its number in the store is no other's.
              auto handle = std::make_shared<OpenFileHandle>(node);
              handle->file = *std::move(file);
              services_.counters->plain_opens++;
              LogOpen(claimed, *node, AccessMode::kPlain);
              {
                const std::lock_guard lock(handles_mutex_);
                reply.fh = next_handle_++;
                files_[reply.fh] = std::move(handle);
              }
              // Without keep_cache the kernel drops its pages at every open, so that what was
              // written into the file in the store is seen.
              const uint64_t file_handle = reply.fh;
              if (fuse_reply_open(claimed, &reply) != 0) CloseFile(file_handle);
            });
}

void Operations::OpenCached(fuse_req_t request, const std::shared_ptr<Node>& node,
                            fuse_file_info* info, std::shared_ptr<UpstreamFile> file) {
  const ReplicaPin pin = services_.cache->Pin(node->block);
  services_.cache->IsAsItWasLeft(pin);
  if (!services_.cache->IsComplete(pin) && IsPassedThrough(*node)) {
    // While somebody reads the replica itself, this node can be opened in no other way; the next
    // one can.
    nodes_.Retire(node);
    fuse_reply_err(request, ESTALE);
    return;
  }
  WasOpened(*node);
  services_.cache->Touch(pin);
  services_.read_ahead->Opened(*node->block);
  // Proving what an earlier daemon left is local work: begin before the first read.
  if (services_.cache->HasUnverified(pin)) services_.cache->StartFill(pin);

  auto handle = std::make_shared<OpenFileHandle>(node);
  handle->file = std::move(file);
  int32_t backing_id = 0;
  {
    const std::lock_guard lock(node->mutex);
    backing_id = TryPassthrough(request, *node, pin);
    handle->passthrough = backing_id > 0;
    if (handle->passthrough) {
      ++node->passthrough_opens;
      handle->pin = pin;
    } else {
      ++node->served_opens;
      // Where the kernel maps direct_io files, incomplete blocks are served without a second copy
      // in the page cache. Otherwise pages are kept: the bytes of a node never change.
      const bool direct =
          MayPassThrough(*node->block) &&
          (services_.channel->passthrough() ||
           (services_.channel->maps_direct_files() && !services_.cache->IsComplete(pin)));
      info->direct_io = direct ? 1 : 0;
      info->keep_cache = direct ? 0 : 1;
    }
  }
  LogOpen(request, *node, backing_id > 0 ? AccessMode::kPassthrough : AccessMode::kServed);
  ++(!node->block->is_block() ? services_.counters->plain_opens
     : handle->passthrough    ? services_.counters->passthrough_opens
                              : services_.counters->served_opens);
  {
    const std::lock_guard lock(handles_mutex_);
    info->fh = next_handle_++;
    files_[info->fh] = std::move(handle);
  }
  const uint64_t file_handle = info->fh;
  if (services_.channel->ReplyOpen(request, info, backing_id) != 0) CloseFile(file_handle);
}

void Operations::LogOpen(fuse_req_t request, const Node& node, AccessMode mode) {
  if (services_.access_log == nullptr) return;
  const fuse_ctx* const caller = fuse_req_ctx(request);
  services_.access_log->Record(node.path, caller->uid, caller->pid, mode);
}

int32_t Operations::TryPassthrough(fuse_req_t request, Node& node, const ReplicaPin& pin) {
  // Another backing file, or none, is refused by the kernel while this one is in use.
  if (node.backing_id > 0) return node.backing_id;
  if (!services_.channel->passthrough() || !MayPassThrough(*node.block)) return 0;
  // Daemon-served descriptors may be mapped; the node stays served until they are closed. New
  // lookups get another node (BlockCompleted).
  if (node.served_opens > 0 || !services_.cache->IsComplete(pin)) return 0;
  const auto file = services_.cache->OpenForHandOut(pin);
  if (!file.ok()) {
    spdlog::error("{}", file.error().ToString());
    return 0;
  }
  const auto backing_id = services_.channel->RegisterBacking(request, file->get());
  if (!backing_id.ok()) {
    spdlog::warn("{}: no passthrough: {}", node.path, backing_id.error().ToString());
    return 0;
  }
  node.backing_id = *backing_id;
  return node.backing_id;
}

std::shared_ptr<Operations::OpenFileHandle> Operations::FileOf(uint64_t handle) const {
  const std::lock_guard lock(handles_mutex_);
  const auto found = files_.find(handle);
  return found == files_.end() ? nullptr : found->second;
}

void Operations::Read(fuse_req_t request, size_t size, off_t offset, fuse_file_info* info) {
  const auto handle = FileOf(info->fh);
  if (!handle || offset < 0) {
    fuse_reply_err(request, EBADF);
    return;
  }
  if (!handle->node->block && !handle->face) {
    ReadPlain(request, handle, size, offset);
    return;
  }
  const auto reply = [request](const Result<std::span<const std::byte>>& bytes) {
    if (!bytes.ok()) {
      fuse_reply_err(request, EIO);
      return;
    }
    fuse_reply_buf(request, reinterpret_cast<const char*>(bytes->data()), bytes->size());
  };
  if (handle->face) {
    handle->face->Read(static_cast<uint64_t>(offset), size, reply);
    return;
  }
  if (IsGrown(*handle->node)) {
    ReadPlain(request, handle, size, offset);
    return;
  }
  if (IsWrittenAnew(*handle)) {
    ReadAsOpened(request, handle, size, offset);
    return;
  }
  const ReplicaPin pin = services_.cache->Pin(handle->node->block);
  if (handle->node->block->is_block()) {
    services_.cache->Read(pin, static_cast<uint64_t>(offset), size,
                          [this, request, handle, size, offset,
                           reply](const Result<std::span<const std::byte>>& bytes) {
                            if (!bytes.ok() && MayBeWrittenAnew(*handle, bytes.error())) {
                              ReadAsOpened(request, handle, size, offset);
                            } else {
                              reply(bytes);
                            }
                          });
    return;
  }
  if (static_cast<uint64_t>(offset) >= handle->node->block->file_bytes) {
    ReadAtEnd(request, handle, size, offset);
    return;
  }
  services_.cache->Read(pin, static_cast<uint64_t>(offset), size,
                        [this, request, handle, size, offset,
                         reply](const Result<std::span<const std::byte>>& bytes) {
                          if (!bytes.ok() && HasLostItsName(bytes.error())) {
                            ReadPlain(request, handle, size, offset);
                          } else {
                            reply(bytes);
                          }
                        });
}

void Operations::ReadPlain(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle,
                           size_t size, off_t offset) {
  WithStore(*services_.read_workers, request, [this, handle, size, offset](const Pending& pending) {
    std::vector<std::byte> bytes(size);
    const auto read = ReadFromStore(*handle, static_cast<uint64_t>(offset), bytes);
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (read.ok()) {
      fuse_reply_buf(claimed, reinterpret_cast<const char*>(bytes.data()), *read);
    } else {
      // ENOENT would be no answer to a read.
      ErrnoOf(read.error(), handle->node->path);
      fuse_reply_err(claimed, EIO);
    }
  });
}

Result<size_t> Operations::ReadFromStore(OpenFileHandle& handle, uint64_t offset,
                                         std::span<std::byte> destination) {
  std::shared_ptr<UpstreamFile> file;
  {
    const std::lock_guard lock(handle.mutex);
    file = handle.file;
  }
  Node& node = *handle.node;
  struct stat shown {};
  {
    const std::lock_guard lock(node.mutex);
    shown = node.shown;
  }
  Result<size_t> read = Error::FromErrno(ESTALE, "the file is not open in the store").In(node.path);
  if (file) read = file->Read(offset, destination);
  if (read.ok() && node.block && !IsGrown(node)) {
    // The node is one state of the file: its bytes or none. Or more than it had.
    PENSTOCK_ASSIGN_OR_RETURN(const struct stat now, file->Stat());
    if (HasSameBytes(now, shown)) return read;
    const auto named = services_.upstream->Stat(node.path);
    if (named.ok() && HasGrown(handle.node, *named)) return read;
    return Error::FromErrno(ESTALE, "the file was changed while it was open").In(node.path);
  }
  if (read.ok()) return read;
  // A store that was away and has come back does not know the descriptor any more; the path may
  // still name the same file. (By its number alone, another one may have got that.)
  PENSTOCK_ASSIGN_OR_RETURN(file, services_.upstream->Open(node.path));
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  if (!HasSameBytes(status, shown) && !HasGrown(handle.node, status)) return read;
  {
    const std::lock_guard lock(handle.mutex);
    handle.file = file;
  }
  return file->Read(offset, destination);
}

void Operations::Release(fuse_req_t request, fuse_file_info* info) {
  CloseFile(info->fh);
  fuse_reply_err(request, 0);
}

void Operations::CloseFile(uint64_t handle) {
  std::shared_ptr<OpenFileHandle> file;
  {
    const std::lock_guard lock(handles_mutex_);
    const auto found = files_.find(handle);
    if (found == files_.end()) return;
    file = std::move(found->second);
    files_.erase(found);
  }
  Node& node = *file->node;
  if (!node.block) return;
  const std::lock_guard lock(node.mutex);
  if (!file->passthrough) {
    --node.served_opens;
    return;
  }
  if (--node.passthrough_opens == 0) {
    services_.channel->ReleaseBacking(node.backing_id);
    node.backing_id = 0;
  }
}

void Operations::BlockCompleted(const BlockSource& source) {
  if (!services_.channel->passthrough() || !MayPassThrough(source)) return;
  const auto node = nodes_.Current(source.path);
  if (!node || !node->block || node->block->id != source.id) return;
  {
    const std::lock_guard lock(node->mutex);
    if (node->served_opens == 0) return;  // the next open passes through with this node
  }
  nodes_.Retire(node);
  notifier_.Submit(WorkerPool::Priority::kDemand, [this, path = source.path] {
    const size_t slash = path.rfind('/');
    const auto parent = nodes_.Current(slash == std::string::npos ? "" : path.substr(0, slash));
    if (!parent) return;
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    const std::lock_guard lock(session_mutex_);
    if (session_ == nullptr) return;
    fuse_lowlevel_notify_inval_entry(session_, parent->id, name.c_str(), name.size());
  });
}

}  // namespace penstock::cachefs
