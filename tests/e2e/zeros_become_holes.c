// For LD_PRELOAD: writes of zeros beyond the end of a file become holes, so that a dataset of
// 100 GiB of zeros needs no disk of that size. Everything else about the program is as it was.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*Pwrite)(int, const void*, size_t, off64_t);

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  static Pwrite real;
  if (!real) real = (Pwrite)dlsym(RTLD_NEXT, "pwrite64");
  const char* text = bytes;
  struct stat64 status;
  if (count >= 4096 && text[0] == 0 && memcmp(text, text + 1, count - 1) == 0 &&
      fstat64(fd, &status) == 0 && S_ISREG(status.st_mode) && offset >= status.st_size) {
    return ftruncate64(fd, offset + (off64_t)count) == 0 ? (ssize_t)count : -1;
  }
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  return pwrite64(fd, bytes, count, offset);
}
