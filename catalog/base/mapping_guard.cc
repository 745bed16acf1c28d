#include "penstock/base/mapping_guard.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "penstock/base/file.h"

namespace penstock {

namespace {

constexpr uint64_t kNothingLost = UINT64_MAX;

}  // namespace

// Never freed, since a handler may be looking at it; taken again by the next guard.
struct MappingGuard::Range {
  std::atomic<uintptr_t> begin = 0;  // 0: free
  std::atomic<uintptr_t> end = 0;
  std::atomic<uint64_t> lost = kNothingLost;
  Range* next = nullptr;  // constant once it is in the list
};

namespace {

using Range = MappingGuard::Range;

std::atomic<Range*> all_ranges = nullptr;
uintptr_t page_bytes = 4096;
struct sigaction handler_before {};  // constant once ours is installed

// The range that has this address. Another thread may be changing it meanwhile, but not the one
// that has raised the signal, whose range this is.
Range* FindRange(uintptr_t address) {
  for (Range* range = all_ranges.load(); range != nullptr; range = range->next) {
    const uintptr_t begin = range->begin.load();
    const uintptr_t end = range->end.load();
    if (begin == 0 || begin != range->begin.load()) continue;
    if (begin <= address && address < end) return range;
  }
  return nullptr;
}

bool ReplacePage(uintptr_t address) {
  Range* const range = FindRange(address);
  if (range == nullptr) return false;
  const uintptr_t page = address / page_bytes * page_bytes;
  void* const zeros = mmap(reinterpret_cast<void*>(page), page_bytes, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (zeros == MAP_FAILED) return false;
  const uint64_t offset = page - range->begin.load();
  uint64_t first = range->lost.load();
  while (offset < first && !range->lost.compare_exchange_weak(first, offset)) {
  }
  return true;
}

// Only what a handler may do: atomics, mmap as the system call that it is, sigaction.
void HandleBusError(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool replaced = ReplacePage(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (replaced) return;
  if ((handler_before.sa_flags & SA_SIGINFO) != 0) {
    handler_before.sa_sigaction(signal, info, context);
  } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
    handler_before.sa_handler(signal);
  } else {
    // Raised again where it came from, and ends the program as it would have without us.
    sigaction(SIGBUS, &handler_before, nullptr);
  }
}

void InstallHandler() {
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  sigaction(SIGBUS, nullptr, &handler_before);
  struct sigaction ours {};
  ours.sa_sigaction = &HandleBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, nullptr);
}

// Ranges that no guard has.
std::mutex free_mutex;
std::vector<Range*>& FreeRanges() {
  static auto& ranges = *new std::vector<Range*>();
  return ranges;
}

Range* TakeRange() {
  const std::lock_guard lock(free_mutex);
  std::vector<Range*>& ranges = FreeRanges();
  if (ranges.empty()) {
    auto* const range = new Range();
    range->next = all_ranges.load();
    while (!all_ranges.compare_exchange_weak(range->next, range)) {
    }
    ranges.push_back(range);
  }
  Range* const range = ranges.back();
  ranges.pop_back();
  return range;
}

}  // namespace

MappingGuard::MappingGuard(const void* address, size_t bytes) {
  static std::once_flag installed;
  std::call_once(installed, &InstallHandler);
  range_ = TakeRange();
  const auto begin = reinterpret_cast<uintptr_t>(address);
  range_->lost.store(kNothingLost);
  range_->end.store(begin + bytes);
  range_->begin.store(begin);
}

void MappingGuard::Release() {
  if (range_ == nullptr) return;
  range_->begin.store(0);
  range_->end.store(0);
  const std::lock_guard lock(free_mutex);
  FreeRanges().push_back(std::exchange(range_, nullptr));
}

MappingGuard::MappingGuard(MappingGuard&& other) noexcept
    : range_(std::exchange(other.range_, nullptr)) {}

MappingGuard& MappingGuard::operator=(MappingGuard&& other) noexcept {
  if (this != &other) {
    Release();
    range_ = std::exchange(other.range_, nullptr);
  }
  return *this;
}

std::optional<uint64_t> MappingGuard::lost() const {
  if (range_ == nullptr) return std::nullopt;
  const uint64_t lost = range_->lost.load();
  return lost == kNothingLost ? std::nullopt : std::optional(lost);
}

Error LostPageError(int fd, uint64_t offset, uint64_t expected_bytes,
                    const std::filesystem::path& path_for_errors) {
  const auto now = IdentifyFile(fd, path_for_errors);
  if (!now.ok()) return now.error();
  if (now->size < expected_bytes) {
    return Error::Corrupt("the file was cut short while it was read")
        .In(path_for_errors.string())
        .AtOffset(offset)
        .Expected(fmt::format("{} bytes", expected_bytes))
        .Found(fmt::format("{} bytes", now->size))
        .Advice("run again once whoever writes the file has done so");
  }
  std::byte first{};
  const Status read = ReadFully(fd, offset, {&first, 1}, path_for_errors);
  if (!read.ok()) return read.error();
  return Error::FromErrno(EIO, "the file could not be read, and can be again")
      .In(path_for_errors.string())
      .AtOffset(offset)
      .Advice("it was changed meanwhile, or its disk fails now and then: run again");
}

}  // namespace penstock
