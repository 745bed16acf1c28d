// The part of Operations that gives what is open to the next daemon and takes it from the last.

#include <spdlog/spdlog.h>

#include <utility>

#include "cachefs/fuse/operations.h"

namespace penstock::cachefs {

namespace {

Result<std::string> HeaderOf(const OpenFace& open) {
  const Face& face = open.face();
  const bool all_header = face.kind == FaceKind::kChecksumList;
  std::string header(all_header ? face.total_bytes : face.header_bytes, '\0');
  PENSTOCK_RETURN_IF_ERROR(
      open.header().Read(0, std::as_writable_bytes(std::span(header.data(), header.size()))));
  return header;
}

}  // namespace

Status Operations::Save(MountState& state) const {
  nodes_.Save(state);
  const std::lock_guard lock(handles_mutex_);
  state.next_handle = next_handle_;
  for (const auto& [number, handle] : files_) {
    MountState::HeldFile& file = state.files.emplace_back();
    file.handle = number;
    file.node = handle->node->id;
    file.passthrough = handle->passthrough;
    {
      const std::lock_guard handle_lock(handle->mutex);
      file.in_store = handle->file != nullptr;
    }
    if (!handle->face) continue;
    PENSTOCK_ASSIGN_OR_RETURN(file.face_header, HeaderOf(*handle->face));
    file.dataset = handle->face->dataset();
  }
  for (const auto& [number, directory] : directories_) {
    state.listings.push_back({.handle = number, .entries = *directory.listing});
  }
  return {};
}

Status Operations::Restore(const MountState& state, const StoreFiles& files) {
  nodes_.Restore(state);
  {
    // What the kernel was told to believe for longer was watched by the last daemon.
    const std::lock_guard lock(session_mutex_);
    doubted_at_start_ = nodes_.DirectoriesWith(BelievedNames::kLargeDirectory);
  }
  const std::lock_guard lock(handles_mutex_);
  next_handle_ = state.next_handle;
  for (const MountState::HeldListing& listing : state.listings) {
    directories_[listing.handle] = {
        .listing = std::make_shared<const std::vector<DirectoryEntry>>(listing.entries),
        .begun = true};
  }
  for (const MountState::HeldFile& held : state.files) {
    // A file that is open keeps its node, also one that the kernel has forgotten the name of.
    const auto held_node = nodes_.Get(held.node);
    if (!held_node) return Error::Corrupt("an open file of the mount has no node");
    auto handle = std::make_shared<OpenFileHandle>(held_node);
    Node& node = *held_node;
    if (const auto file = files.find(held.handle); file != files.end()) handle->file = file->second;
    handle->passthrough = held.passthrough;
    if (node.face) {
      if (node.face->kind != FaceKind::kChecksumList && !held.dataset) {
        return Error::Corrupt("an open face of the mount has no dataset").In(node.path);
      }
      handle->face = std::make_unique<OpenFace>(
          node.face, std::make_shared<const FaceHeader>(held.face_header), held.dataset,
          *services_.cache);
    } else if (node.block && held.passthrough) {
      ++node.passthrough_opens;
      handle->pin = services_.cache->Pin(node.block);
    } else if (node.block) {
      ++node.served_opens;
    }
    files_[held.handle] = std::move(handle);
  }
  return {};
}

}  // namespace penstock::cachefs
