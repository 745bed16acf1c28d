// The part of Operations that shows faces: files that the store does not have.

#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

#include "cachefs/fuse/operations.h"

namespace penstock::cachefs {

bool Operations::LookupFace(const Pending& pending, const std::string& directory,
                            const std::string& name) {
  if (services_.faces == nullptr || !FaceCatalog::IsFaceName(name)) return false;
  const auto shown = services_.faces->At(directory, name);
  if (shown.ok() && !*shown) return false;
  const fuse_req_t claimed = pending->Claim();
  if (claimed == nullptr) return true;
  const std::string path = directory.empty() ? name : directory + "/" + name;
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

void Operations::OpenFaceFile(fuse_req_t request, const std::shared_ptr<Node>& node,
                              fuse_file_info* info) {
  // Making a header may take a while; lookups go on meanwhile.
  WithStore(
      *services_.read_workers, request,
      [this, node, reply = *info](const Pending& pending) mutable {
        const Face& face = *node->face;
        const auto make = [&]() -> Result<std::unique_ptr<OpenFace>> {
          std::shared_ptr<const DatasetView> dataset;
          if (face.kind != FaceKind::kChecksumList) {
            PENSTOCK_ASSIGN_OR_RETURN(dataset,
                                      services_.registry->Get(face.dataset, /*ask_again=*/true));
            if (dataset->generation != face.generation) {
              return Error::FromErrno(ESTALE, "the dataset has been replaced").In(face.dataset);
            }
          }
          PENSTOCK_ASSIGN_OR_RETURN(auto header, services_.face_headers->Get(face));
          return std::make_unique<OpenFace>(node->face, std::move(header), std::move(dataset),
                                            *services_.cache);
        };
        auto open = make();
        const fuse_req_t claimed = pending->Claim();
        if (claimed == nullptr) return;
        if (!open.ok()) {
          // The kernel looks the name up again, once.
          const bool replaced =
              open.error().system_errno() == ESTALE || open.error().kind() == ErrorKind::kNotFound;
          if (!replaced) ErrnoOf(open.error(), node->path);
          fuse_reply_err(claimed, replaced ? ESTALE : EIO);
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

void Operations::DatasetReplaced(const DatasetView& previous) {
  std::vector<std::shared_ptr<OpenFileHandle>> open;
  {
    const std::lock_guard lock(handles_mutex_);
    for (const auto& [number, handle] : files_) {
      if (!handle->face || handle->face->face().kind == FaceKind::kChecksumList) continue;
      const Face& face = handle->face->face();
      if (face.dataset == previous.path && face.generation == previous.generation) {
        open.push_back(handle);
      }
    }
  }
  for (const auto& handle : open) handle->face->KeepReplicas();
}

}  // namespace penstock::cachefs
