// Operations: the file system as the kernel sees it, over the low-level API of libfuse.
//
// No operation blocks in the thread that received it longer than the local disk takes: what needs
// the store runs on worker threads and is answered from there, with EIO after the upstream
// time-out. (Where the store is a local disk, half of the threads ask it themselves.) Thread-safe.

#ifndef PENSTOCK_CACHEFS_FUSE_OPERATIONS_H_
#define PENSTOCK_CACHEFS_FUSE_OPERATIONS_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/cache/read_ahead.h"
#include "cachefs/faces/face_catalog.h"
#include "cachefs/faces/face_header.h"
#include "cachefs/faces/open_face.h"
#include "cachefs/fuse/believed_names.h"
#include "cachefs/fuse/held_opens.h"
#include "cachefs/fuse/kernel_channel.h"
#include "cachefs/fuse/node_table.h"
#include "cachefs/fuse/pending_request.h"
#include "cachefs/handover/mount_state.h"
#include "cachefs/policy/cache_policy.h"
#include "cachefs/sight/access_log.h"
#include "cachefs/upstream/store_presence.h"
#include "cachefs/upstream/watched_upstream.h"

namespace penstock::cachefs {

// What the operations work with; everything must outlive them.
struct OperationsServices {
  std::shared_ptr<Upstream> upstream;
  const WatchedUpstream* watched = nullptr;  // what is below it
  bool store_keeps_open_files = false;       // a file that is open is there after it was replaced
  DatasetRegistry* registry = nullptr;
  BlockCache* cache = nullptr;
  ReadAhead* read_ahead = nullptr;
  FaceCatalog* faces = nullptr;  // null: the mount shows what the store has and nothing else
  FaceHeaders* face_headers = nullptr;
  const CachePolicy* policy = nullptr;  // or none
  WorkerPool* metadata_workers = nullptr;
  WorkerPool* read_workers = nullptr;  // reads of files that are not blocks
  DeadlineWatch* deadlines = nullptr;
  CacheCounters* counters = nullptr;
  KernelChannel* channel = nullptr;
  AccessLog* access_log = nullptr;  // or none
  std::chrono::milliseconds upstream_timeout{30'000};
  std::chrono::milliseconds settle_time{10'000};
  std::chrono::milliseconds attribute_timeout{30'000};  // of the entries of large directories
  std::string lease_socket;
  std::string control_socket;
};

class Operations {
 public:
  explicit Operations(const OperationsServices& services);
  ~Operations();
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  // For fuse_session_new; the session's userdata is a SessionUserdata.
  static const fuse_lowlevel_ops& Table();
  // Needed for telling the kernel about nodes that have changed; null: do not tell any more.
  void SetSession(fuse_session* session);

  // saved_operations.cc. Nodes, open files and listings, for the daemon that comes next. No request
  // is under way.
  Status Save(MountState& state) const;
  // Before the first request, in the daemon that comes next. `files`: by handle.
  Status Restore(const MountState& state, const StoreFiles& files);

  // A replica has become complete: opens from now on may pass through. Any thread.
  void BlockCompleted(const BlockSource& source);
  // A dataset was written anew, `previous` is about to be evicted. Any thread.
  void DatasetReplaced(const DatasetView& previous);

  void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  void Forget(fuse_ino_t id, uint64_t lookups);
  void GetAttributes(fuse_req_t request, fuse_ino_t id);
  void ReadLink(fuse_req_t request, fuse_ino_t id);
  void Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info);
  void Read(fuse_req_t request, size_t size, off_t offset, fuse_file_info* info);
  // Where data and holes are (lseek with SEEK_DATA or SEEK_HOLE).
  void Seek(fuse_req_t request, off_t offset, int whence, fuse_file_info* info);
  void Release(fuse_req_t request, fuse_file_info* info);
  void OpenDirectory(fuse_req_t request, fuse_ino_t id, fuse_file_info* info);
  // `with_attributes`: and with a lookup counted for each entry (readdirplus), where that is worth
  // it.
  void ReadDirectory(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                     fuse_file_info* info, bool with_attributes);
  void ReleaseDirectory(fuse_req_t request, fuse_file_info* info);
  void StatFileSystem(fuse_req_t request);
  void GetExtendedAttribute(fuse_req_t request, fuse_ino_t id, const char* name, size_t size);
  void ListExtendedAttributes(fuse_req_t request, fuse_ino_t id, size_t size);

 private:
  using Pending = std::shared_ptr<PendingRequest>;

  struct OpenFileHandle {
    explicit OpenFileHandle(std::shared_ptr<Node> of) : node(std::move(of)) { ++node->handles; }
    ~OpenFileHandle() { --node->handles; }
    OpenFileHandle(const OpenFileHandle&) = delete;
    OpenFileHandle& operator=(const OpenFileHandle&) = delete;

    const std::shared_ptr<Node> node;
    ReplicaPin pin;  // held by passthrough opens only
    // As it was opened in the store; of a file that is not a block opened anew where the store has
    // been away. Null where the cache had all of it when it was opened.
    std::mutex mutex;
    std::shared_ptr<UpstreamFile> file;
    // Of a block (replaced_datasets.cc): its name stands for another one; what was read of it last.
    bool written_anew = false;
    std::pair<int64_t, std::shared_ptr<const std::vector<std::byte>>> extent_as_opened;
    std::unique_ptr<OpenFace> face;
    bool passthrough = false;
  };
  using Listing = std::shared_ptr<const std::vector<DirectoryEntry>>;
  struct OpenDirectoryHandle {
    Listing listing;
    bool begun = false;           // reading from the start again (rewinddir) lists anew
    bool looked_at = false;       // entries that were given without attributes were asked for
    uint64_t lookups_before = 0;  // Node::lookups_in, at the last read
  };

  // Runs `work` on a worker; the request is answered with EIO when the deadline comes first.
  void WithStore(WorkerPool& workers, fuse_req_t request, std::function<void(const Pending&)> work);
  // The same for a single question of little work: where the store is local, in this thread, as
  // long as enough others are left to take requests.
  void AskStore(fuse_req_t request, std::function<void(const Pending&)> work);
  // As WithStore; after `patience` it is answered by `late`.
  void WithStore(WorkerPool& workers, fuse_req_t request, std::chrono::milliseconds patience,
                 std::function<void(fuse_req_t)> late, std::function<void(const Pending&)> work);
  // A request that is answered by `late` after `patience`.
  Pending Begin(fuse_req_t request, std::chrono::milliseconds patience,
                std::function<void(fuse_req_t)> late);
  // An ordinary file as a source for the cache; null while it may still be being written.
  std::shared_ptr<const BlockSource> SourceOfFile(const std::string& path,
                                                  const struct stat& status) const;
  // What the cache knows a path as; null for what it does not keep.
  Result<std::shared_ptr<const BlockSource>> SourceAt(const std::string& path,
                                                      const struct stat& status) const;
  // For a lookup. Where it is that of an open that was sent back, what it finds is held for that.
  Result<struct stat> StatusFor(pid_t thread, const std::string& path);
  // The node of the path with one more lookup counted, as the kernel is told of it.
  fuse_entry_param Enter(const std::string& path, const struct stat& status,
                         const std::shared_ptr<const BlockSource>& block);
  // Of a dataset's own files, a contiguous one included.
  static bool IsOfDataset(const std::string& path, std::string_view name);
  // believed_operations.cc. How long the kernel may believe what it is told of the node.
  double SecondsFor(Node& node, const struct stat& status);
  // Whether the kernel believes all of these and need not be told again.
  bool AreBelieved(const std::string& directory, std::span<const char* const> names) const;
  // What a listing that is still believed says of a path.
  std::optional<struct stat> FromListing(const std::string& path);
  // The store has said something else of the path than its directory's listing.
  void DoubtListing(const std::string& path);
  // After the reply that made the kernel believe the path for longer: takes it back where the
  // directory has changed meanwhile.
  void Told(const std::string& path);
  // A file that is open is looked at again after the usual time.
  void WasOpened(Node& node);
  // In a while, and again as long as there are directories that are believed for longer.
  void WatchDirectories();
  // Makes the kernel ask for everything in the directory again.
  void DoubtNames(const std::string& directory);
  // directory_operations.cc
  Result<Listing> List(const std::shared_ptr<Node>& node);
  static void ReplyNames(fuse_req_t request, const std::vector<DirectoryEntry>& entries,
                         size_t from, size_t size);
  // An empty vector where each is to be asked for by itself.
  std::vector<std::optional<struct stat>> StatusesOf(const std::string& directory,
                                                     std::span<const char* const> names);
  // Whether who reads the directory is to be given attributes in advance. handles_mutex_ is held.
  bool WantsAttributes(const Node& node, OpenDirectoryHandle& handle, size_t from) const;
  void ReplyEntries(const Pending& pending, const Node& directory,
                    const std::vector<DirectoryEntry>& entries, size_t from, size_t size,
                    bool with_attributes);
  // A file in the state of the node, if it is still in that state.
  void OpenSettled(fuse_req_t request, const std::shared_ptr<Node>& node, fuse_file_info* info);
  // What the lookup before this open held for it, if that is what the node stands for.
  std::optional<HeldOpen> TakeHeld(pid_t thread, const Node& node);
  // The kernel looks the name up again.
  void SendBack(fuse_req_t request, pid_t thread, const Node& node);
  // replaced_datasets.cc
  void OpenBlock(fuse_req_t request, const std::shared_ptr<Node>& node, fuse_file_info* info);
  // Whether a block that is open is known to be another one in the store by now, and to be read as
  // it was opened. Whether that is to be tried after the cache could not read it.
  static bool IsWrittenAnew(OpenFileHandle& handle);
  static bool MayBeWrittenAnew(OpenFileHandle& handle, const Error& error);
  void ReadAsOpened(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle, size_t size,
                    off_t offset);
  // Verified.
  Result<std::shared_ptr<const std::vector<std::byte>>> ExtentAsOpened(OpenFileHandle& handle,
                                                                       int64_t extent);
  // `file`: in the store, for what the cache cannot fetch; may be null.
  void OpenCached(fuse_req_t request, const std::shared_ptr<Node>& node, fuse_file_info* info,
                  std::shared_ptr<UpstreamFile> file);
  // Makes the open pass through where the node and the kernel allow it; node->mutex is held.
  int32_t TryPassthrough(fuse_req_t request, Node& node, const ReplicaPin& pin);
  // face_operations.cc. False: the name is no face, and the request is still to be answered.
  bool LookupFace(const Pending& pending, pid_t thread, const std::string& directory,
                  const std::string& name);
  // system_errno() is ESTALE where the dataset is another one now, kNotFound where it is gone.
  Result<std::unique_ptr<OpenFace>> MakeOpenFace(const std::shared_ptr<const Face>& face);
  void GetFaceAttributes(fuse_req_t request, const std::shared_ptr<Node>& node);
  void OpenFaceFile(fuse_req_t request, const std::shared_ptr<Node>& node, fuse_file_info* info);
  // growing_files.cc. Whether an ordinary file that is open is to be shown as it is `now`, and no
  // longer in the state of its node. Blocks on the store.
  bool HasGrown(const std::shared_ptr<Node>& node, const struct stat& now);
  // Behind the end of the state of the node.
  void ReadAtEnd(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle, size_t size,
                 off_t offset);
  void OpenPlain(fuse_req_t request, const std::shared_ptr<Node>& node, fuse_file_info* info);
  void ReadPlain(fuse_req_t request, const std::shared_ptr<OpenFileHandle>& handle, size_t size,
                 off_t offset);
  Result<size_t> ReadFromStore(OpenFileHandle& handle, uint64_t offset,
                               std::span<std::byte> destination);
  void CloseFile(uint64_t handle);
  // Before the request is answered.
  void LogOpen(fuse_req_t request, const Node& node, AccessMode mode);
  std::shared_ptr<OpenFileHandle> FileOf(uint64_t handle) const;
  // The attributes of penstock on a directory or file; nullopt where it has none by that name.
  Result<std::vector<std::pair<std::string, std::string>>> PenstockAttributes(const Node& node);
  // Those that the store has itself: only of what the node still stands for.
  Result<std::optional<std::string>> StoreAttribute(const Node& node, const std::string& name);
  Result<std::vector<std::string>> StoreAttributeNames(const Node& node);
  int ErrnoOf(const Error& error, const std::string& path);

  const OperationsServices services_;
  std::atomic<int> asking_ = 0;  // threads that took a request and ask the store themselves
  NodeTable nodes_;
  BelievedNames believed_;
  HeldOpens held_opens_;
  mutable std::mutex handles_mutex_;
  uint64_t next_handle_ = 1;
  std::unordered_map<uint64_t, std::shared_ptr<OpenFileHandle>> files_;
  std::unordered_map<uint64_t, OpenDirectoryHandle> directories_;
  std::mutex session_mutex_;
  fuse_session* session_ = nullptr;
  std::vector<std::string> doubted_at_start_;  // guarded by session_mutex_
  // For those who may outlive the operations.
  struct Life {
    std::mutex mutex;
    bool is_over = false;
  };
  const std::shared_ptr<Life> life_ = std::make_shared<Life>();
  std::mutex watch_mutex_;
  bool watching_ = false;  // guarded by watch_mutex_
  WorkerPool notifier_;    // the kernel's locks forbid telling it from inside an operation
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_OPERATIONS_H_
