#include "cachefs/fuse/node_table.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>

namespace penstock::cachefs {

namespace {

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

// The store's numbers of files that nobody has open are given to others.
bool IsTheSameFile(Node& node, const struct stat& status) {
  if (node.device != status.st_dev || node.inode != status.st_ino) return false;
  if (node.handles > 0) return true;
  const std::lock_guard lock(node.mutex);
  return IdentityOf(node.shown) == IdentityOf(status);
}

}  // namespace

NodeTable::NodeTable() {
  auto root = std::make_shared<Node>();
  root->id = kRootId;
  root->type = S_IFDIR;
  root->lookups = 1;
  nodes_[kRootId] = root;
  current_[""] = root;
}

std::shared_ptr<Node> NodeTable::Get(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second;
}

std::shared_ptr<Node> NodeTable::Lookup(const std::string& path, const struct stat& status,
                                        const std::shared_ptr<const BlockSource>& block,
                                        const std::shared_ptr<const Face>& face) {
  const mode_t type = status.st_mode & S_IFMT;
  const auto is_same = [&](Node& node) {
    if (node.type != type || (node.block == nullptr) != (block == nullptr)) return false;
    if (face != nullptr || node.face != nullptr) {
      return face != nullptr && node.face != nullptr && node.face->id == face->id;
    }
    if (block != nullptr) return node.block->id == block->id;
    return type != S_IFREG || IsTheSameFile(node, status);
  };
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Node>& node = current_[path];
  if (!node || !is_same(*node)) {
    node = std::make_shared<Node>();
    node->id = next_id_++;
    node->path = path;
    node->type = type;
    node->block = block;
    node->face = face;
    node->device = status.st_dev;
    node->inode = status.st_ino;
    node->shown = status;
    nodes_[node->id] = node;
  }
  ++node->lookups;
  return node;
}

void NodeTable::Forget(uint64_t id, uint64_t lookups) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || id == kRootId) return;
  const std::shared_ptr<Node> node = found->second;
  node->lookups -= std::min(node->lookups, lookups);
  if (node->lookups > 0) return;
  nodes_.erase(found);
  const auto current = current_.find(node->path);
  if (current != current_.end() && current->second == node) current_.erase(current);
}

std::vector<std::shared_ptr<Node>> NodeTable::FilesIn(const std::string& directory) const {
  std::vector<std::shared_ptr<Node>> files;
  const std::lock_guard lock(mutex_);
  for (const auto& [path, node] : current_) {
    if (!path.empty() && !S_ISDIR(node->type) && ParentOf(path) == directory) files.push_back(node);
  }
  return files;
}

std::vector<std::string> NodeTable::DirectoriesWith(size_t files) const {
  std::unordered_map<std::string_view, size_t> counts;
  const std::lock_guard lock(mutex_);
  for (const auto& [path, node] : current_) {
    if (!path.empty() && !S_ISDIR(node->type)) ++counts[ParentOf(path)];
  }
  std::vector<std::string> directories;
  for (const auto& [directory, count] : counts) {
    if (count >= files) directories.emplace_back(directory);
  }
  return directories;
}

std::shared_ptr<Node> NodeTable::Current(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = current_.find(path);
  return found == current_.end() ? nullptr : found->second;
}

void NodeTable::Retire(const std::shared_ptr<Node>& node) {
  const std::lock_guard lock(mutex_);
  const auto found = current_.find(node->path);
  if (found != current_.end() && found->second == node) current_.erase(found);
}

size_t NodeTable::size() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

void NodeTable::Save(MountState& state) const {
  const std::lock_guard lock(mutex_);
  state.next_node = next_id_;
  for (const auto& [id, node] : nodes_) {
    if (id == kRootId) continue;
    const auto current = current_.find(node->path);
    const std::lock_guard node_lock(node->mutex);
    state.nodes.push_back({.id = id,
                           .path = node->path,
                           .lookups = node->lookups,
                           .current = current != current_.end() && current->second == node,
                           .type = node->type,
                           .device = node->device,
                           .inode = node->inode,
                           .block = node->block,
                           .face = node->face,
                           .backing_id = node->backing_id,
                           .shown = node->shown});
  }
}

void NodeTable::Restore(const MountState& state) {
  const std::lock_guard lock(mutex_);
  next_id_ = state.next_node;
  for (const MountState::HeldNode& held : state.nodes) {
    auto node = std::make_shared<Node>();
    node->id = held.id;
    node->path = held.path;
    node->lookups = held.lookups;
    node->type = held.type;
    node->device = held.device;
    node->inode = held.inode;
    node->block = held.block;
    node->face = held.face;
    node->backing_id = held.backing_id;
    node->shown = held.shown;
    node->grown = held.block && !held.block->is_block() &&
                  static_cast<uint64_t>(held.shown.st_size) != held.block->file_bytes;
    if (held.current) current_[node->path] = node;
    nodes_[node->id] = std::move(node);
  }
}

}  // namespace penstock::cachefs
