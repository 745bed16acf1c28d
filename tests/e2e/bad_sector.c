// For LD_PRELOAD: one place of the disk does not take bytes any more. The file that $BAD_SECTOR names
// says which: "INODE OFFSET e" (a write there gives EIO) or "INODE OFFSET f" (it is forgotten: it is
// acknowledged, and one byte is another one afterwards). Another file is at another place of the disk.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*Pwrite)(int, const void*, size_t, off64_t);

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  static Pwrite real;
  if (!real) real = (Pwrite)dlsym(RTLD_NEXT, "pwrite64");
  unsigned long inode = 0;
  long long bad = -1;
  char what = 0;
  const char* name = getenv("BAD_SECTOR");
  FILE* file = name ? fopen(name, "re") : NULL;
  if (file) {
    if (fscanf(file, "%lu %lld %c", &inode, &bad, &what) != 3) inode = 0;
    fclose(file);
  }
  struct stat64 status;
  const int hit = inode != 0 && bad >= offset && bad < offset + (off64_t)count &&
                  fstat64(fd, &status) == 0 && status.st_ino == inode;
  if (hit) {
    if (what == 'e') {
      errno = EIO;
      return -1;
    }
    const ssize_t written = real(fd, bytes, count, offset);
    const char other = (char)~((const char*)bytes)[bad - offset];
    char name_of[64];
    snprintf(name_of, sizeof name_of, "/proc/self/fd/%d", fd);
    const int again = open(name_of, O_WRONLY | O_CLOEXEC);  // without O_DIRECT: one byte is no page
    real(again, &other, 1, bad);
    close(again);
    return written;
  }
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  return pwrite64(fd, bytes, count, offset);
}
