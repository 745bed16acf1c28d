// penstock_bench_files FILE...: the rate of reading and discarding files through mappings that are
// made anew, 64 MiB at a time, as `penstock apply --no-ingest` meets a camera's files.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "penstock/base/file.h"
#include "reader/kernels/kernels.h"

namespace penstock {
namespace {

constexpr uint64_t kWindow = uint64_t{64} << 20;

struct Window {
  int fd;
  uint64_t offset;
  uint64_t bytes;
};

// Seconds of one pass over all of them.
double Read(const std::vector<Window>& windows, int threads, kernels::ReadPattern pattern) {
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> seen{0};
  const auto work = [&] {
    for (size_t i = next++; i < windows.size(); i = next++) {
      const Window& window = windows[i];
      void* const address = mmap(nullptr, kWindow, PROT_READ, MAP_SHARED, window.fd,
                                 static_cast<off_t>(window.offset));
      if (address == MAP_FAILED) continue;
      madvise(address, kWindow, MADV_HUGEPAGE);
      seen ^=
          kernels::LoadAndDiscard(static_cast<const std::byte*>(address), window.bytes, pattern);
      munmap(address, kWindow);
    }
  };
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int Main(int argc, char** argv) {
  CLI::App app("Reads and discards files in the page cache, GiB/s");
  std::vector<std::string> paths;
  int threads = 1;
  app.add_option("files", paths)->required();
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024));
  CLI11_PARSE(app, argc, argv);
  std::vector<FileDescriptor> files;
  std::vector<Window> windows;
  uint64_t all = 0;
  for (const std::string& path : paths) {
    auto file = OpenFile(path, O_RDONLY);
    struct stat status = {};
    if (!file.ok() || fstat(file->get(), &status) != 0) {
      fmt::print(stderr, "penstock_bench_files: cannot open {}\n", path);
      return 1;
    }
    const auto bytes = static_cast<uint64_t>(status.st_size);
    for (uint64_t at = 0; at < bytes; at += kWindow) {
      windows.push_back({file->get(), at, std::min(kWindow, bytes - at)});
    }
    all += bytes;
    files.push_back(std::move(file).value());
  }
  const double seconds = std::min(Read(windows, threads, kernels::ReadPattern::kLinear),
                                  Read(windows, threads, kernels::ReadPattern::kEightStreams));
  fmt::print("{:.3f}\n", static_cast<double>(all) / seconds / (1 << 30));
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
