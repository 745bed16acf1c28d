// Upstream: where the datasets of a mount come from: a directory (NFS, Lustre, GPFS, local), a web
// server, a bucket of S3.
//
// Contract for implementations:
// - Paths are relative to the root of the store, '/'-separated, without "." and ".."; "" is the
//   root. They are resolved anew by every call: a store that vanishes and returns just works again.
// - Every call may block for as long as the store does and is therefore made on worker threads
//   only; the cache bounds how long anybody waits for it.
// - kNotFound means that the store answered and the path is not there. A store that is itself gone
//   gives kIo (or another kind), never kNotFound.
// - All functions are thread-safe.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_H_
#define PENSTOCK_CACHEFS_UPSTREAM_H_

#include <sys/stat.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

struct DirectoryEntry {
  std::string name;
  mode_t type = 0;  // S_IFREG, S_IFDIR, ...; 0 where the store does not say
  uint64_t inode = 0;
  // As Stat gives it, where the store's listings say as much (S3, some of HTTP); else null.
  std::shared_ptr<const struct stat> status = nullptr;
};

// Free and total space of the store, for statfs; zeros where unknown.
struct UpstreamSpace {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t total_files = 0;
  uint64_t free_files = 0;
};

// A file that was opened: what its path named then, also after another file took the name (the
// sidecars of a growing dataset are replaced while readers have them open). Where the store keeps
// nothing but the newest file of a name, system_errno() is ESTALE from then on.
class UpstreamFile {
 public:
  virtual ~UpstreamFile() = default;
  virtual Result<struct stat> Stat() = 0;
  // As Upstream::Read.
  virtual Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) = 0;
  // Where the next data (SEEK_DATA) or hole (SEEK_HOLE) begins at or after `offset`, as lseek(2)
  // says: system_errno() is ENXIO where there is none. kUnsupported: the store does not tell.
  virtual Result<uint64_t> Seek(uint64_t offset, int whence) = 0;
};

class Upstream {
 public:
  virtual ~Upstream() = default;

  // Symbolic links are not followed.
  virtual Result<struct stat> Stat(const std::string& path) = 0;
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  // The attributes of entries of a directory, as Stat gives them, in the order of `names`; nothing
  // for those that cannot be looked at. An empty vector where it takes no less than to ask Stat for
  // each.
  virtual std::vector<std::optional<struct stat>> StatEntries(
      const std::string& directory, std::span<const char* const> names) = 0;
  // The extended attributes user.* of a file or directory; none where the store keeps none.
  virtual Result<std::vector<std::string>> AttributeNames(const std::string& path) = 0;
  // Nothing where there is none of that name.
  virtual Result<std::optional<std::string>> Attribute(const std::string& path,
                                                       const std::string& name) = 0;
  virtual Result<std::string> ReadLink(const std::string& path) = 0;
  // Reads up to destination.size() bytes; fewer only at the end of the file.
  virtual Result<size_t> Read(const std::string& path, uint64_t offset,
                              std::span<std::byte> destination) = 0;
  virtual Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) = 0;
  // As Read, of the state of the file that `identity` (IdentityOf what Stat gave) names: where the
  // path stands for another state before or after the bytes were read, system_errno() is ESTALE.
  virtual Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                                       uint64_t offset, std::span<std::byte> destination) = 0;
  virtual Result<UpstreamSpace> Space() = 0;
  // The caller has read the whole of a small file, in the state `status`, and would need it again
  // were the store away. Does not wait.
  virtual void Keep(const std::string& path, const struct stat& status,
                    std::string_view contents) = 0;
  // For people: the directory or address.
  virtual std::string Name() const = 0;
};

// What a store answers that has none of the rarer things: no holes, no attributes, nothing that is
// quicker for many entries, no memory. For stores alone; what wraps an upstream derives from
// Upstream, so that the compiler sees to it that nothing is lost on the way.
class SimpleUpstreamFile : public UpstreamFile {
 public:
  Result<uint64_t> Seek(uint64_t offset, int whence) override;
};
class SimpleUpstream : public Upstream {
 public:
  std::vector<std::optional<struct stat>> StatEntries(const std::string& directory,
                                                      std::span<const char* const> names) override;
  Result<std::vector<std::string>> AttributeNames(const std::string& path) override;
  Result<std::optional<std::string>> Attribute(const std::string& path,
                                               const std::string& name) override;
  void Keep(const std::string& path, const struct stat& status, std::string_view contents) override;
};

// The identity by which two states of one file are told apart.
FileIdentity IdentityOf(const struct stat& status);

struct UpstreamOptions {
  // No call over the network takes longer. (In the calls of a directory the kernel decides.)
  std::chrono::milliseconds timeout{30'000};
  std::filesystem::path tls_authorities;  // PEM; "": those of the system
  std::filesystem::path tls_certificate;  // of the client, PEM
  std::filesystem::path tls_key;
  std::string s3_endpoint;  // "": of the environment, else AWS
  std::string s3_region;    // "": of the environment
};

// True for "SCHEME://...", false for the path of a directory.
bool IsStoreAddress(const std::string& store);

// The address as it may be shown, without "USER:PASSWORD@".
std::string WithoutSecrets(const std::string& store);

// `store`: an absolute path, "http(s)://HOST/PATH" or "s3://BUCKET/PREFIX". Nothing is asked of the
// store yet; kInvalidArgument for an address that cannot be one.
Result<std::shared_ptr<Upstream>> MakeUpstream(const std::string& store,
                                               const UpstreamOptions& options);

// `root` must be absolute. It is looked up by its path in every call. Symbolic links inside the
// store are never followed (they are shown as links), so no path escapes the root.
std::shared_ptr<Upstream> MakeDirectoryUpstream(const std::filesystem::path& root);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_H_
