#ifndef PENSTOCK_CACHEFS_FUSE_SAME_BYTES_H_
#define PENSTOCK_CACHEFS_FUSE_SAME_BYTES_H_

#include <sys/stat.h>

namespace penstock::cachefs {

// Whether the descriptor still gives the bytes of the state that `shown` is of. (Losing its name
// changes the change time of a file, but not its bytes.)
inline bool HasSameBytes(const struct stat& now, const struct stat& shown) {
  return now.st_dev == shown.st_dev && now.st_ino == shown.st_ino && now.st_size == shown.st_size &&
         now.st_mtim.tv_sec == shown.st_mtim.tv_sec && now.st_mtim.tv_nsec == shown.st_mtim.tv_nsec;
}

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_SAME_BYTES_H_
