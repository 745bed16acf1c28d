// penstock_read_with_uring: reads files by io_uring, for tests in Python.
//
// Takes lines "OFFSET SIZE PARTS DIRECT PATH" from the standard input. Each file is opened (DIRECT:
// 1 for O_DIRECT), the range read by PARTS requests that are under way together, and answered with
// 8 bytes, how many follow or -errno, and the bytes up to the end of the file.

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr uint64_t kPage = 4096;

struct Part {
  uint64_t begin = 0;  // relative to the range
  uint64_t size = 0;
  int64_t count = 0;
};

// Bytes read up to the end of the file, or -errno.
int64_t Read(io_uring& ring, int fd, uint64_t offset, std::byte* buffer, std::vector<Part>& parts) {
  for (Part& part : parts) {
    io_uring_sqe* const entry = io_uring_get_sqe(&ring);
    if (entry == nullptr) return -EBUSY;
    io_uring_prep_read(entry, fd, buffer + part.begin, static_cast<unsigned>(part.size),
                       offset + part.begin);
    io_uring_sqe_set_data(entry, &part);
  }
  if (const int submitted = io_uring_submit(&ring); submitted < 0) return submitted;
  for (size_t i = 0; i < parts.size(); ++i) {
    io_uring_cqe* completion = nullptr;
    if (const int failure = io_uring_wait_cqe(&ring, &completion); failure < 0) return failure;
    static_cast<Part*>(io_uring_cqe_get_data(completion))->count = completion->res;
    io_uring_cqe_seen(&ring, completion);
  }
  int64_t total = 0;
  for (const Part& part : parts) {
    int64_t count = part.count;
    if (count < 0) return count;
    // A request may give less than there is; the rest is asked for by itself.
    while (static_cast<uint64_t>(count) < part.size) {
      const uint64_t at = part.begin + static_cast<uint64_t>(count);
      const ssize_t more = pread(fd, buffer + at, part.size - static_cast<uint64_t>(count),
                                 static_cast<off_t>(offset + at));
      if (more < 0 && errno == EINVAL) break;  // a direct read from within the last page
      if (more < 0) return -errno;
      if (more == 0) break;
      count += more;
    }
    total += count;
    if (static_cast<uint64_t>(count) < part.size) break;
  }
  return total;
}

}  // namespace

int main() {
  io_uring ring{};
  if (io_uring_queue_init(16, &ring, 0) != 0) return 1;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    uint64_t offset = 0;
    uint64_t size = 0;
    uint64_t part_count = 1;
    bool direct = false;
    std::string path;
    words >> offset >> size >> part_count >> direct;
    std::getline(words >> std::ws, path);

    // Whole pages, so that any part of it can be read directly.
    const uint64_t pages = (size + kPage - 1) / kPage;
    const uint64_t step = direct
                              ? std::max<uint64_t>(1, (pages + part_count - 1) / part_count) * kPage
                              : std::max<uint64_t>(1, (size + part_count - 1) / part_count);
    const uint64_t whole = direct ? pages * kPage : size;
    std::vector<Part> parts;
    for (uint64_t begin = 0; begin < whole; begin += step) {
      parts.push_back({.begin = begin, .size = std::min(step, whole - begin)});
    }
    auto* const buffer = static_cast<std::byte*>(std::aligned_alloc(kPage, (pages + 1) * kPage));
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    int64_t count = fd < 0 ? -errno : Read(ring, fd, offset, buffer, parts);
    if (count > 0) count = std::min(count, static_cast<int64_t>(size));
    if (fd >= 0) close(fd);
    std::fwrite(&count, sizeof count, 1, stdout);
    if (count > 0) std::fwrite(buffer, 1, static_cast<size_t>(count), stdout);
    std::fflush(stdout);
    std::free(buffer);
  }
  io_uring_queue_exit(&ring);
  return 0;
}
