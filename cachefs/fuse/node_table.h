// NodeTable: the node ids that the kernel holds, and the paths behind them.
//
// A path has one current node. It gets a new one when its block changes from daemon-served to
// passed-through, when its dataset is written anew and when another file takes its name: the kernel
// decides the mode of I/O and keeps pages per node, so old descriptors go on with the old node and
// new opens get the new one. Thread-safe.

#ifndef PENSTOCK_CACHEFS_FUSE_NODE_TABLE_H_
#define PENSTOCK_CACHEFS_FUSE_NODE_TABLE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "cachefs/faces/face.h"
#include "cachefs/handover/mount_state.h"

namespace penstock::cachefs {

struct Node {
  uint64_t id = 0;
  std::string path;  // relative to the store
  mode_t type = 0;   // S_IFREG, S_IFDIR, ...
  // What the cache knows the file as; null for what is not cached: directories, links, files that
  // are still being written.
  std::shared_ptr<const BlockSource> block;
  std::shared_ptr<const Face> face;  // null for everything that the store has itself
  dev_t device = 0;                  // of the file in the store that the node stands for
  ino_t inode = 0;
  std::atomic<int> handles = 0;          // open files of the node
  std::atomic<uint64_t> lookups_in = 0;  // of a directory: names that were asked for one by one
  // Until when the kernel was told to believe it, where that is longer than usual (steady clock).
  std::atomic<std::chrono::steady_clock::duration> believed_until{};

  // How the node is open; guarded by `mutex`. The kernel takes one backing file per node and no
  // daemon-served open beside mapped or cached ones, so the first open decides.
  std::mutex mutex;
  int served_opens = 0;
  int passthrough_opens = 0;
  int32_t backing_id = 0;  // > 0 while passthrough_opens > 0
  // Of an ordinary file with a block: it is not in that state any more, but what was written behind
  // its end since is for those who have it open (growing_files.cc). Never taken back.
  bool grown = false;
  struct stat shown {};  // what the kernel was told last, of a file that is not a dataset's block

 private:
  friend class NodeTable;
  uint64_t lookups = 0;  // guarded by the table's mutex
};

class NodeTable {
 public:
  static constexpr uint64_t kRootId = 1;

  NodeTable();

  // Null for an id that the kernel does not hold.
  std::shared_ptr<Node> Get(uint64_t id) const;
  // The current node of the path with one more lookup counted; a new one where there is none or
  // where the current one stands for another kind of file (S_IFMT), block or generation, or for
  // another regular file that is no block, or for an earlier state of it that nobody has open.
  // `status`: of the path in the store, or of the face.
  std::shared_ptr<Node> Lookup(const std::string& path, const struct stat& status,
                               const std::shared_ptr<const BlockSource>& block,
                               const std::shared_ptr<const Face>& face = nullptr);
  void Forget(uint64_t id, uint64_t lookups);

  // The files and links directly in a directory that the kernel knows.
  std::vector<std::shared_ptr<Node>> FilesIn(const std::string& directory) const;
  // The directories that have so many of them, or more.
  std::vector<std::string> DirectoriesWith(size_t files) const;

  // Null where the kernel does not know the path.
  std::shared_ptr<Node> Current(const std::string& path) const;
  // The next lookup of the node's path makes a new node; this one lives until it is forgotten.
  void Retire(const std::shared_ptr<Node>& node);

  size_t size() const;

  // For the daemon that comes next, and in it, into a table that knows the root alone.
  void Save(MountState& state) const;
  void Restore(const MountState& state);

 private:
  mutable std::mutex mutex_;
  uint64_t next_id_ = kRootId + 1;
  std::unordered_map<uint64_t, std::shared_ptr<Node>> nodes_;
  std::unordered_map<std::string, std::shared_ptr<Node>> current_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_NODE_TABLE_H_
