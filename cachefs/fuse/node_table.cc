#include "cachefs/fuse/node_table.h"

#include <sys/stat.h>

#include <algorithm>

namespace penstock::cachefs {

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

std::shared_ptr<Node> NodeTable::Lookup(const std::string& path, mode_t type,
                                        const std::shared_ptr<const BlockSource>& block) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Node>& node = current_[path];
  const bool same = node && node->type == type && (node->block == nullptr) == (block == nullptr) &&
                    (block == nullptr || node->block->id == block->id);
  if (!same) {
    node = std::make_shared<Node>();
    node->id = next_id_++;
    node->path = path;
    node->type = type;
    node->block = block;
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

}  // namespace penstock::cachefs
