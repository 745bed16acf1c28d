// CheckMountOptions: what is refused before anything is touched.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <future>
#include <sstream>
#include <system_error>
#include <thread>

#include "cachefs/daemon/known_store.h"
#include "cachefs/peers/peers.h"
#include "penstock/base/file.h"
#include "penstock/cachefs/mount.h"

namespace penstock::cachefs {

namespace {

// False for the address of a store that is no directory.
bool IsInside(const std::filesystem::path& path, const std::filesystem::path& directory) {
  const auto [in_directory, in_path] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return in_directory == directory.end();
}

// A penstock mount whose daemon is dead.
bool IsAbandonedMount(const std::filesystem::path& mountpoint) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string skipped;
    std::string where;
    fields >> skipped >> skipped >> skipped >> skipped >> where;
    if (where == mountpoint.string() && line.find(" - fuse.penstock ") != std::string::npos) {
      return true;
    }
  }
  return false;
}

Status ClearAbandonedMount(const std::filesystem::path& mountpoint) {
  if (umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) return {};
  return Error::FromErrno(errno, "cannot clear the mount that an earlier daemon left behind")
      .In(mountpoint.string())
      .Advice(fmt::format("run: fusermount3 -u -z {}", mountpoint.string()));
}

// Where a directory leads. On a thread that is left alone where the store hangs.
Result<std::string> ResolveDirectory(const std::string& store, std::chrono::milliseconds patience) {
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  auto resolved = promise->get_future();
  std::thread([promise, store]() {
    std::error_code failure;
    const std::filesystem::path canonical = std::filesystem::canonical(store, failure);
    if (failure) {
      promise->set_value(
          Error::FromErrno(failure.value(), "the store cannot be reached").In(store));
    } else if (!std::filesystem::is_directory(canonical, failure)) {
      promise->set_value(Error::InvalidArgument("the store is not a directory").In(store));
    } else {
      promise->set_value(canonical.string());
    }
  }).detach();
  if (resolved.wait_for(patience) == std::future_status::ready) return resolved.get();
  return Error::Timeout("the store does not answer").In(store);
}

Status CheckStore(const MountOptions& options, MountOptions& checked) {
  checked.given_store = options.store;
  if (IsStoreAddress(options.store)) {
    PENSTOCK_RETURN_IF_ERROR(MakeUpstream(options.store, options.upstream));
    return {};
  }
  std::error_code failure;
  std::filesystem::path given = std::filesystem::absolute(options.store, failure);
  given = given.lexically_normal();
  checked.given_store = (given.has_filename() ? given : given.parent_path()).string();
  auto resolved = ResolveDirectory(options.store, options.upstream_timeout);
  if (resolved.ok()) {
    checked.store = *std::move(resolved);
    return {};
  }
  const auto known = ReadKnownStore(options.cache);
  if (!known || (known->given != checked.given_store && known->store != checked.given_store)) {
    return resolved.error();
  }
  checked.store = known->store;
  return {};
}

// An empty directory. With the errno ENOTCONN: a mount whose daemon is gone, or goes at this
// moment.
Result<std::filesystem::path> CheckEmptyDirectory(const std::filesystem::path& named,
                                                  const std::filesystem::path& mountpoint) {
  const auto failed = [&](int number, const char* what) {
    return Error::FromErrno(number, what).In(mountpoint.string());
  };
  // Not by stat, which the kernel may answer from what it remembers.
  const FileDescriptor opened(open(named.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.valid() && errno == ENOTCONN) return failed(errno, "cannot open");
  std::error_code failure;
  const std::filesystem::path canonical = std::filesystem::canonical(named, failure);
  if (failure) {
    return failed(failure.value(), "the mountpoint cannot be reached")
        .Advice("create the directory first");
  }
  if (!std::filesystem::is_directory(canonical, failure)) {
    if (failure) return failed(failure.value(), "cannot look at the mountpoint");
    return Error::InvalidArgument("the mountpoint is not a directory").In(mountpoint.string());
  }
  if (!std::filesystem::is_empty(canonical, failure)) {
    if (failure) return failed(failure.value(), "cannot list");
    return Error::InvalidArgument("the mountpoint is not empty")
        .In(mountpoint.string())
        .Advice("what lies there would be hidden; name an empty directory");
  }
  return canonical;
}

Result<std::filesystem::path> CheckMountpoint(const std::filesystem::path& mountpoint,
                                              bool replace) {
  std::error_code failure;
  const std::filesystem::path absolute =
      std::filesystem::absolute(mountpoint, failure).lexically_normal();
  const std::filesystem::path named = absolute.has_filename() ? absolute : absolute.parent_path();
  if (replace) {
    // Its daemon will say whether it is the same mount. (Not by what lies there: if nobody serves
    // it any more, that is an error and not for ever.)
    const std::filesystem::path parent = std::filesystem::canonical(named.parent_path(), failure);
    if (!failure) return parent / named.filename();
    return Error::FromErrno(failure.value(), "the mountpoint cannot be reached")
        .In(mountpoint.string());
  }
  auto checked = CheckEmptyDirectory(named, mountpoint);
  if (checked.ok() || checked.error().system_errno() != ENOTCONN || !IsAbandonedMount(named)) {
    return checked;
  }
  PENSTOCK_RETURN_IF_ERROR(ClearAbandonedMount(named));
  return CheckEmptyDirectory(named, mountpoint);
}

}  // namespace

Result<MountOptions> CheckMountOptions(const MountOptions& options) {
  MountOptions checked = options;
  PENSTOCK_RETURN_IF_ERROR(CheckStore(options, checked));
  PENSTOCK_ASSIGN_OR_RETURN(checked.mountpoint,
                            CheckMountpoint(options.mountpoint, options.replace));
  std::error_code failure;
  // The daemon leaves its working directory.
  for (std::filesystem::path* const file :
       {&checked.upstream.tls_authorities, &checked.upstream.tls_certificate,
        &checked.upstream.tls_key, &checked.peers.members, &checked.peers.key}) {
    if (!file->empty()) *file = std::filesystem::absolute(*file, failure);
  }
  PENSTOCK_RETURN_IF_ERROR(CheckPeerOptions(options.peers));
  checked.cache = std::filesystem::weakly_canonical(options.cache, failure);
  if (failure || options.cache.empty()) {
    return Error::InvalidArgument("the cache directory cannot be resolved").In(options.cache);
  }
  if (IsInside(checked.cache, checked.mountpoint)) {
    return Error::InvalidArgument("the cache lies inside the mountpoint").In(checked.cache);
  }
  if (IsInside(checked.cache, checked.store) || IsInside(checked.store, checked.cache)) {
    return Error::InvalidArgument("the cache and the store lie inside one another")
        .In(checked.cache)
        .Advice("put the cache on a local disk of the node");
  }
  if (IsInside(checked.store, checked.mountpoint) || IsInside(checked.mountpoint, checked.store) ||
      IsInside(checked.mountpoint, checked.cache)) {
    return Error::InvalidArgument("the mountpoint lies inside the store or the cache, or around it")
        .In(checked.mountpoint);
  }
  if (options.cache_bytes == 0) return Error::InvalidArgument("the cache size is zero");
  if (!(options.reserve.percent >= 0 && options.reserve.percent < 100)) {
    return Error::InvalidArgument("the reserve must be at least 0 % and less than 100 %");
  }
  if (options.upstream_timeout.count() <= 0) {
    return Error::InvalidArgument("the upstream time-out must be positive");
  }
  if (options.settle_time.count() < 0) {
    return Error::InvalidArgument("the settle time must not be negative");
  }
  return checked;
}

}  // namespace penstock::cachefs
