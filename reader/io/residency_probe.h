// ResidencyProbe: how much of a range of a file is in memory.

#ifndef PENSTOCK_READER_IO_RESIDENCY_PROBE_H_
#define PENSTOCK_READER_IO_RESIDENCY_PROBE_H_

#include <cstdint>
#include <optional>
#include <random>

#include "penstock/base/file.h"

namespace penstock {

// Not thread-safe.
class ResidencyProbe {
 public:
  // `may_count`: false does as a kernel that does not count.
  explicit ResidencyProbe(bool may_count = true) : may_count_(may_count) {}

  // Another file follows.
  void Reset();

  // 0 to 1, from the kernel's count or else from a few pages taken at random; negative where nobody
  // can tell. `fd` is the same until Reset.
  double Share(int fd, uint64_t begin, uint64_t end);

 private:
  double ShareOfSomePages(int fd, uint64_t begin, uint64_t end);

  const bool may_count_;
  std::optional<bool> counts_;  // whether the kernel counts
  FileDescriptor random_;       // the file once more, without read-ahead
  // A page that was missing is read for having been asked for: the next time another one is asked.
  std::minstd_rand places_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_RESIDENCY_PROBE_H_
