// The part of Operations that lists directories.
//
// A directory is listed when it is opened. Programs that look at every entry (ls -l) get the
// attributes along with the names, so many at a time as the kernel has room for; what cannot be
// looked at cheaply comes without, and the kernel looks it up by itself.

#include <algorithm>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>

#include "cachefs/fuse/operations.h"

namespace penstock::cachefs {

namespace {

std::string Join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

bool IsDots(std::string_view name) { return name == "." || name == ".."; }

// The number that stat gives for the directory.
uint64_t InodeOf(Node& node) {
  const std::lock_guard lock(node.mutex);
  return node.shown.st_ino != 0 ? node.shown.st_ino : node.id;
}

}  // namespace

Result<Operations::Listing> Operations::List(const std::shared_ptr<Node>& node) {
  PENSTOCK_ASSIGN_OR_RETURN(auto entries, services_.upstream->List(node->path));
  if (services_.faces != nullptr) services_.faces->AddTo(node->path, entries);
  const size_t slash = node->path.rfind('/');
  const auto parent = nodes_.Current(slash == std::string::npos ? "" : node->path.substr(0, slash));
  entries.push_back({.name = ".", .type = S_IFDIR, .inode = InodeOf(*node)});
  entries.push_back({.name = "..", .type = S_IFDIR, .inode = InodeOf(parent ? *parent : *node)});
  auto listing = std::make_shared<const std::vector<DirectoryEntry>>(std::move(entries));
  if (believed_.ListedAs(node->path, listing, *services_.upstream)) DoubtNames(node->path);
  WatchDirectories();
  return Listing(std::move(listing));
}

void Operations::OpenDirectory(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  WithStore(*services_.metadata_workers, request,
            [this, node, reply = *info](const Pending& pending) mutable {
              auto listing = List(node);
              const fuse_req_t claimed = pending->Claim();
              if (claimed == nullptr) return;
              if (!listing.ok()) {
                fuse_reply_err(claimed, ErrnoOf(listing.error(), node->path));
                return;
              }
              uint64_t handle = 0;
              {
                const std::lock_guard lock(handles_mutex_);
                handle = next_handle_++;
                directories_[handle] = {.listing = *std::move(listing)};
              }
              reply.fh = handle;
              if (fuse_reply_open(claimed, &reply) != 0) {
                const std::lock_guard lock(handles_mutex_);
                directories_.erase(handle);
              }
            });
}

void Operations::ReadDirectory(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                               fuse_file_info* info, bool with_attributes) {
  const auto node = nodes_.Get(id);
  const auto from = static_cast<size_t>(offset);
  Listing listing;
  bool rewound = false;
  bool wanted = false;
  {
    const std::lock_guard lock(handles_mutex_);
    const auto found = directories_.find(info->fh);
    if (found != directories_.end()) {
      listing = found->second.listing;
      rewound = offset == 0 && std::exchange(found->second.begun, true);
      wanted = node && WantsAttributes(*node, found->second, from);
    }
  }
  if (!node || !listing || offset < 0) {
    fuse_reply_err(request, node ? EBADF : ESTALE);
    return;
  }
  if (!rewound && !with_attributes) {
    ReplyNames(request, *listing, from, size);
    return;
  }
  WithStore(*services_.metadata_workers, request,
            [this, node, listing, rewound, with_attributes, wanted, from, size,
             handle = info->fh](const Pending& pending) mutable {
              if (rewound) {
                auto anew = List(node);
                if (!anew.ok()) {
                  const fuse_req_t claimed = pending->Claim();
                  if (claimed != nullptr) {
                    fuse_reply_err(claimed, ErrnoOf(anew.error(), node->path));
                  }
                  return;
                }
                listing = *std::move(anew);
                const std::lock_guard lock(handles_mutex_);
                const auto found = directories_.find(handle);
                if (found != directories_.end()) found->second.listing = listing;
              }
              if (with_attributes) {
                ReplyEntries(pending, *node, *listing, from, size, wanted);
              } else if (const fuse_req_t claimed = pending->Claim()) {
                ReplyNames(claimed, *listing, from, size);
              }
            });
}

// `find` and `du` read many names before they look at the first; a plain `ls` looks at none. Where
// an answer of the store takes less than a question of the kernel's, all are given their
// attributes; elsewhere the first ones, and then those who have begun to ask.
bool Operations::WantsAttributes(const Node& node, OpenDirectoryHandle& handle, size_t from) const {
  const uint64_t lookups = node.lookups_in;
  handle.looked_at = handle.looked_at || (from > 0 && lookups > handle.lookups_before);
  handle.lookups_before = lookups;
  return from == 0 || handle.looked_at || services_.watched->is_local();
}

void Operations::ReplyNames(fuse_req_t request, const std::vector<DirectoryEntry>& entries,
                            size_t from, size_t size) {
  std::vector<char> buffer(size);
  size_t used = 0;
  for (size_t index = from; index < entries.size(); ++index) {
    const DirectoryEntry& entry = entries[index];
    struct stat status {};
    status.st_mode = entry.type;
    status.st_ino = entry.inode;
    const size_t needed =
        fuse_add_direntry(request, buffer.data() + used, size - used, entry.name.c_str(), &status,
                          static_cast<off_t>(index) + 1);
    if (needed > size - used) break;
    used += needed;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

std::vector<std::optional<struct stat>> Operations::StatusesOf(const std::string& directory,
                                                               std::span<const char* const> names) {
  std::vector<std::optional<struct stat>> statuses;
  statuses.reserve(names.size());
  bool any = false;
  for (const char* const name : names) {
    statuses.push_back(FromListing(Join(directory, name)));
    any = any || statuses.back();
  }
  return any ? statuses : services_.upstream->StatEntries(directory, names);
}

void Operations::ReplyEntries(const Pending& pending, const Node& directory,
                              const std::vector<DirectoryEntry>& entries, size_t from, size_t size,
                              bool with_attributes) {
  // Those that there is room for.
  std::vector<const char*> names;
  size_t needed = 0;
  for (size_t index = from; index < entries.size(); ++index) {
    needed += fuse_add_direntry_plus(nullptr, nullptr, 0, entries[index].name.c_str(), nullptr, 0);
    if (needed > size) break;
    names.push_back(entries[index].name.c_str());
  }
  // The dots come last; the one above the root is none of the store's.
  const auto dots = std::ranges::find_if(names, IsDots);
  const std::span<const char* const> wanted(names.begin(), dots);
  // Not where the kernel has them.
  const auto statuses = !with_attributes || AreBelieved(directory.path, wanted)
                            ? std::vector<std::optional<struct stat>>()
                            : StatusesOf(directory.path, wanted);
  struct Known {
    std::string path;
    const struct stat* status = nullptr;
    std::shared_ptr<const BlockSource> block;
  };
  std::vector<Known> known(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const bool made_here = services_.faces != nullptr && FaceCatalog::IsFaceName(names[i]);
    if (i >= statuses.size() || !statuses[i] || made_here) continue;
    std::string path = Join(directory.path, names[i]);
    auto block = SourceAt(path, *statuses[i]);
    if (!block.ok()) continue;
    known[i] = {.path = std::move(path), .status = &*statuses[i], .block = *std::move(block)};
  }

  const fuse_req_t claimed = pending->Claim();
  if (claimed == nullptr) return;
  std::vector<char> buffer(size);
  std::vector<uint64_t> looked_up;
  bool believed_long = false;
  size_t used = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    fuse_entry_param entry{};
    entry.attr.st_mode = entries[from + i].type;
    entry.attr.st_ino = entries[from + i].inode;
    if (known[i].status != nullptr) {
      entry = Enter(known[i].path, *known[i].status, known[i].block);
      looked_up.push_back(entry.ino);
      believed_long = believed_long || entry.entry_timeout > kBelievedSeconds;
    }
    used += fuse_add_direntry_plus(claimed, buffer.data() + used, size - used, names[i], &entry,
                                   static_cast<off_t>(from + i) + 1);
  }
  // As for a lookup: the kernel does not count them when the caller has gone away.
  if (fuse_reply_buf(claimed, buffer.data(), used) != 0) {
    for (const uint64_t id : looked_up) nodes_.Forget(id, 1);
  } else if (believed_long && !believed_.Watches(directory.path)) {
    DoubtNames(directory.path);
  }
}

void Operations::ReleaseDirectory(fuse_req_t request, fuse_file_info* info) {
  {
    const std::lock_guard lock(handles_mutex_);
    directories_.erase(info->fh);
  }
  fuse_reply_err(request, 0);
}

}  // namespace penstock::cachefs
