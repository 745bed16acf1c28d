#include "cachefs/fuse/operations.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr uint64_t kStatfsBlock = 4096;
// Half of those that take requests (daemon.cc).
constexpr int kMostAsking = 2;

std::string Join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

// The attributes as the mount shows them: those of the source, a block with the size that its
// dataset promises.
// Of a file that lost its name to another one, while it is still open, those that it had.
struct stat Shown(struct stat status, Node& node) {
  if (node.block && node.block->is_block()) {
    status.st_size = static_cast<off_t>(node.block->file_bytes);
    return status;
  }
  const std::lock_guard lock(node.mutex);
  if (node.block) {
    // The node is one state of the file, or what has grown from it; another one gets another node.
    const bool is_same =
        IdentityOf(status) == node.block->identity ||
        (node.grown && node.device == status.st_dev && node.inode == status.st_ino);
    if (is_same) node.shown = status;
    return node.shown;
  }
  if (S_ISREG(node.type) && (node.device != status.st_dev || node.inode != status.st_ino)) {
    return node.shown;
  }
  node.shown = status;
  return status;
}

struct stat LastShown(Node& node) {
  const std::lock_guard lock(node.mutex);
  return node.shown;
}

}  // namespace

std::shared_ptr<const BlockSource> Operations::SourceOfFile(const std::string& path,
                                                            const struct stat& status) const {
  if (status.st_size == 0 || !IsSettled(status, services_.settle_time)) return nullptr;
  auto source = MakeFileSource(path, IdentityOf(status));
  services_.cache->Supersede(*source);
  return source;
}

Result<std::shared_ptr<const BlockSource>> Operations::SourceAt(const std::string& path,
                                                                const struct stat& status) const {
  if (!S_ISREG(status.st_mode)) return std::shared_ptr<const BlockSource>();
  PENSTOCK_ASSIGN_OR_RETURN(auto block, services_.registry->BlockAt(path));
  return block != nullptr ? block : SourceOfFile(path, status);
}

fuse_entry_param Operations::Enter(const std::string& path, const struct stat& status,
                                   const std::shared_ptr<const BlockSource>& block) {
  const auto node = nodes_.Lookup(path, status, block);
  fuse_entry_param entry{};
  entry.ino = node->id;
  entry.attr = Shown(status, *node);
  entry.attr_timeout = entry.entry_timeout = SecondsFor(*node, status);
  return entry;
}

Operations::Operations(const OperationsServices& services)
    : services_(services),
      believed_(services.attribute_timeout, services.settle_time),
      notifier_(1) {}

Operations::~Operations() {
  const std::lock_guard lock(life_->mutex);
  life_->is_over = true;
}

void Operations::SetSession(fuse_session* session) {
  std::vector<std::string> doubted;
  {
    const std::lock_guard lock(session_mutex_);
    session_ = session;
    if (session != nullptr) doubted.swap(doubted_at_start_);
  }
  for (const std::string& directory : doubted) DoubtNames(directory);
}

int Operations::ErrnoOf(const Error& error, const std::string& path) {
  if (error.kind() == ErrorKind::kNotFound) return ENOENT;
  if (error.kind() == ErrorKind::kPermission) return EACCES;
  services_.counters->upstream_errors++;
  // That the store is away is said once.
  if (!IsStoreAway(error)) spdlog::error("/{}: {}", path, error.ToString());
  return EIO;
}

void Operations::WithStore(WorkerPool& workers, fuse_req_t request,
                           std::function<void(const Pending&)> work) {
  WithStore(
      workers, request, services_.upstream_timeout,
      [](fuse_req_t claimed) { fuse_reply_err(claimed, EIO); }, std::move(work));
}

void Operations::WithStore(WorkerPool& workers, fuse_req_t request,
                           std::chrono::milliseconds patience, std::function<void(fuse_req_t)> late,
                           std::function<void(const Pending&)> work) {
  const Pending pending = Begin(request, patience, std::move(late));
  workers.Submit(WorkerPool::Priority::kDemand, [pending, work = std::move(work)] {
    // Nobody waits for what has timed out in the queue: after a stall the backlog goes quickly.
    if (!pending->answered()) work(pending);
  });
}

void Operations::AskStore(fuse_req_t request, std::function<void(const Pending&)> work) {
  const bool here = asking_++ < kMostAsking && services_.watched->is_local();
  if (here) {
    work(Begin(request, services_.upstream_timeout,
               [](fuse_req_t claimed) { fuse_reply_err(claimed, EIO); }));
  }
  --asking_;
  if (!here) WithStore(*services_.metadata_workers, request, std::move(work));
}

Operations::Pending Operations::Begin(fuse_req_t request, std::chrono::milliseconds patience,
                                      std::function<void(fuse_req_t)> late) {
  auto pending = std::make_shared<PendingRequest>(request);
  services_.deadlines->At(
      DeadlineWatch::Clock::now() + patience,
      [this, waiting = std::weak_ptr<PendingRequest>(pending), late = std::move(late)] {
        const auto unanswered = waiting.lock();
        if (!unanswered) return;
        if (const fuse_req_t claimed = unanswered->Claim()) {
          services_.counters->timeouts++;
          spdlog::error("{} did not answer in time", services_.upstream->Name());
          late(claimed);
        }
      });
  return pending;
}

void Operations::Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const auto directory = nodes_.Get(parent);
  if (!directory) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  ++directory->lookups_in;
  const std::string path = Join(directory->path, name);
  const pid_t thread = fuse_req_ctx(request)->pid;
  const auto ask = [this, thread, path, directory,
                    name = std::string(name)](const Pending& pending) {
    if (LookupFace(pending, thread, directory->path, name)) return;
    const auto status = StatusFor(thread, path);
    const auto block = status.ok() ? SourceAt(path, *status) : status.error();
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (!block.ok()) {
      fuse_reply_err(claimed, ErrnoOf(block.error(), path));
      return;
    }
    const fuse_entry_param entry = Enter(path, *status, *block);
    const bool told = fuse_reply_entry(claimed, &entry) == 0;
    if (told && entry.entry_timeout > kBelievedSeconds) Told(path);
    // The kernel does not count the lookup when the caller has gone away.
    if (!told) nodes_.Forget(entry.ino, 1);
  };
  if (IsOfDataset(path, name)) {
    WithStore(*services_.metadata_workers, request, ask);  // which may have to be read first
  } else {
    AskStore(request, ask);
  }
}

Result<struct stat> Operations::StatusFor(pid_t thread, const std::string& path) {
  const bool awaited = held_opens_.IsAwaited(thread, path);
  if (const auto listed = awaited ? std::nullopt : FromListing(path)) return *listed;
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat named, services_.upstream->Stat(path));
  if (!awaited || !S_ISREG(named.st_mode)) return named;
  PENSTOCK_ASSIGN_OR_RETURN(auto file, services_.upstream->Open(path));
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  held_opens_.Hold(thread, path, {.file = std::move(file), .status = status, .face = nullptr});
  return status;
}

void Operations::Forget(fuse_ino_t id, uint64_t lookups) { nodes_.Forget(id, lookups); }

void Operations::GetAttributes(fuse_req_t request, fuse_ino_t id) {
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  if (node->face) {
    GetFaceAttributes(request, node);
    return;
  }
  const auto ask = [this, node](const Pending& pending) {
    const auto listed = node->handles > 0 ? std::nullopt : FromListing(node->path);
    auto status = listed ? Result<struct stat>(*listed) : services_.upstream->Stat(node->path);
    if (status.ok()) HasGrown(node, *status);
    if (!status.ok() && status.error().kind() == ErrorKind::kNotFound && node->handles > 0) {
      status = LastShown(*node);
      status->st_nlink = 0;
    }
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (!status.ok()) {
      fuse_reply_err(claimed, ErrnoOf(status.error(), node->path));
      return;
    }
    if ((status->st_mode & S_IFMT) != node->type) {
      fuse_reply_err(claimed, ESTALE);
      return;
    }
    const struct stat shown = Shown(*status, *node);
    const double seconds = SecondsFor(*node, *status);
    if (fuse_reply_attr(claimed, &shown, seconds) == 0 && seconds > kBelievedSeconds) {
      Told(node->path);
    }
  };
  if (node->handles > 0) {
    WithStore(*services_.metadata_workers, request, ask);  // whether it has grown takes longer
  } else {
    AskStore(request, ask);
  }
}

void Operations::ReadLink(fuse_req_t request, fuse_ino_t id) {
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  WithStore(*services_.metadata_workers, request, [this, node](const Pending& pending) {
    const auto target = services_.upstream->ReadLink(node->path);
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (target.ok()) {
      fuse_reply_readlink(claimed, target->c_str());
    } else {
      fuse_reply_err(claimed, ErrnoOf(target.error(), node->path));
    }
  });
}

void Operations::StatFileSystem(fuse_req_t request) {
  WithStore(*services_.metadata_workers, request, [this](const Pending& pending) {
    const auto space = services_.upstream->Space();
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (!space.ok()) {
      fuse_reply_err(claimed, ErrnoOf(space.error(), ""));
      return;
    }
    struct statvfs reply {};
    reply.f_bsize = kStatfsBlock;
    reply.f_frsize = kStatfsBlock;
    reply.f_blocks = space->total_bytes / kStatfsBlock;
    reply.f_bfree = reply.f_bavail = space->available_bytes / kStatfsBlock;
    reply.f_files = space->total_files;
    reply.f_ffree = reply.f_favail = space->free_files;
    reply.f_namemax = 255;
    fuse_reply_statfs(claimed, &reply);
  });
}

}  // namespace penstock::cachefs
