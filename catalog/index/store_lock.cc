#include "catalog/index/store_lock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace penstock::catalog {

namespace {

using std::chrono::milliseconds;

Result<FileDescriptor> LockWithin(FileDescriptor fd, short type, milliseconds patience,
                                  const std::filesystem::path& path) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  milliseconds pause{1};
  while (true) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    // Of the open file, not of the process: two threads exclude each other as well.
    if (fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return fd;
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
      return Error::FromErrno(errno, "cannot lock the catalog")
          .In(path)
          .Advice("The file system has to support locks (on Lustre the mount option flock)");
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error::Busy("another process is using the catalog")
          .In(path)
          .Advice("Try again when its rebuild or registration has ended");
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds{50});
  }
}

}  // namespace

Result<StoreLock> StoreLock::Exclusive(const StoreFolder& store, milliseconds patience) {
  PENSTOCK_RETURN_IF_ERROR(store.CreateFolder(store.folder()));
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd,
                            OpenFile(store.lock(), O_RDWR | O_CREAT, store.FileMode()));
  // Against the umask; fails for a file of somebody else, which is as it should be already.
  (void)fchmod(fd.get(), store.FileMode());
  PENSTOCK_ASSIGN_OR_RETURN(fd, LockWithin(std::move(fd), F_WRLCK, patience, store.lock()));
  return StoreLock(std::move(fd));
}

Result<StoreLock> StoreLock::Shared(const StoreFolder& store, milliseconds patience) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(store.lock(), O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(fd, LockWithin(std::move(fd), F_RDLCK, patience, store.lock()));
  return StoreLock(std::move(fd));
}

}  // namespace penstock::catalog
