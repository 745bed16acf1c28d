// The part of Operations that shows faces: files that the store does not have.

#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

#include "cachefs/fuse/operations.h"

namespace penstock::cachefs {

namespace {

// Of a dataset that is replaced while its face is opened.
constexpr int kMostTries = 16;

bool IsReplaced(const Error& error) {
  return error.system_errno() == ESTALE || error.kind() == ErrorKind::kNotFound;
}

}  // namespace

bool Operations::LookupFace(const Pending& pending, pid_t thread, const std::string& directory,
                            const std::string& name) {
  if (services_.faces == nullptr || !FaceCatalog::IsFaceName(name)) return false;
  const std::string path = directory.empty() ? name : directory + "/" + name;
  auto shown = services_.faces->At(directory, name);
  if (held_opens_.IsAwaited(thread, path)) {
    for (int tries = 0; tries < kMostTries && shown.ok() && *shown; ++tries) {
      auto open = MakeOpenFace((*shown)->face);
      if (open.ok()) {
        held_opens_.Hold(thread, path,
                         {.file = nullptr, .status = (*shown)->status, .face = *std::move(open)});
      }
      if (open.ok() || !IsReplaced(open.error())) break;
      shown = services_.faces->At(directory, name);
    }
  }
  if (shown.ok() && !*shown) return false;
  const fuse_req_t claimed = pending->Claim();
  if (claimed == nullptr) return true;
  if (!shown.ok()) {
    fuse_reply_err(claimed, ErrnoOf(shown.error(), path));
    return true;
  }
  const auto node = nodes_.Lookup(path, (*shown)->status, nullptr, (*shown)->face);
  fuse_entry_param entry{};
  entry.ino = node->id;
  entry.attr = (*shown)->status;
  entry.attr_timeout = kBelievedSeconds;
  entry.entry_timeout = kBelievedSeconds;
  {
    const std::lock_guard lock(node->mutex);
    node->shown = entry.attr;
  }
  if (fuse_reply_entry(claimed, &entry) != 0) nodes_.Forget(node->id, 1);
  return true;
}

void Operations::GetFaceAttributes(fuse_req_t request, const std::shared_ptr<Node>& node) {
  WithStore(*services_.metadata_workers, request, [this, node](const Pending& pending) {
    const auto shown = services_.faces->At(node->face->dataset, FaceName(node->face->kind));
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    if (!shown.ok()) {
      fuse_reply_err(claimed, ErrnoOf(shown.error(), node->path));
      return;
    }
    struct stat status {};
    {
      // What has lost its name to another generation, while it is open, is as it was.
      const std::lock_guard lock(node->mutex);
      if (*shown && (*shown)->face->id == node->face->id) node->shown = (*shown)->status;
      status = node->shown;
    }
    fuse_reply_attr(claimed, &status, kBelievedSeconds);
  });
}

Result<std::unique_ptr<OpenFace>> Operations::MakeOpenFace(
    const std::shared_ptr<const Face>& face) {
  std::shared_ptr<const DatasetView> dataset;
  if (face->kind != FaceKind::kChecksumList) {
    PENSTOCK_ASSIGN_OR_RETURN(dataset, services_.registry->Get(face->dataset, /*ask_again=*/true));
    if (dataset->generation != face->generation) {
      return Error::FromErrno(ESTALE, "the dataset has been replaced").In(face->dataset);
    }
  }
  PENSTOCK_ASSIGN_OR_RETURN(auto header, services_.face_headers->Get(*face));
  return std::make_unique<OpenFace>(face, std::move(header), std::move(dataset), *services_.cache);
}

void Operations::OpenFaceFile(fuse_req_t request, const std::shared_ptr<Node>& node,
                              fuse_file_info* info) {
  const pid_t thread = fuse_req_ctx(request)->pid;
  // Making a header may take a while; lookups go on meanwhile.
  WithStore(*services_.read_workers, request,
            [this, node, thread, reply = *info](const Pending& pending) mutable {
              auto held = TakeHeld(thread, *node);
              auto open = held ? std::move(held->face) : MakeOpenFace(node->face);
              const fuse_req_t claimed = pending->Claim();
              if (claimed == nullptr) return;
              if (!open.ok() && IsReplaced(open.error())) {
                SendBack(claimed, thread, *node);
                return;
              }
              if (!open.ok()) {
                ErrnoOf(open.error(), node->path);
                fuse_reply_err(claimed, EIO);
                return;
              }
              auto handle = std::make_shared<OpenFileHandle>(node);
              handle->face = *std::move(open);
              LogOpen(claimed, *node, AccessMode::kServed);
              services_.counters->served_opens++;
              // The bytes of a node never change.
              reply.keep_cache = 1;
              {
                const std::lock_guard lock(handles_mutex_);
                reply.fh = next_handle_++;
                files_[reply.fh] = std::move(handle);
              }
              const uint64_t file_handle = reply.fh;
              if (fuse_reply_open(claimed, &reply) != 0) CloseFile(file_handle);
            });
}

}  // namespace penstock::cachefs
