// Reads under way at the same time, behind one interface: io_uring, or pread where the kernel has
// none.

#ifndef PENSTOCK_BASE_READ_QUEUE_H_
#define PENSTOCK_BASE_READ_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "penstock/base/result.h"

namespace penstock {

// Not thread-safe: one queue per worker. The memory of a read must stay until its completion was
// taken.
class ReadQueue {
 public:
  struct Completion {
    uint64_t tag = 0;
    int64_t result = 0;  // bytes read, or -errno
  };

  virtual ~ReadQueue() = default;

  // Precondition: fewer than `depth` reads are under way.
  virtual Status Submit(int fd, uint64_t offset, std::byte* to, size_t bytes, uint64_t tag) = 0;
  // The next completion, in any order. Precondition: something is under way.
  virtual Result<Completion> Wait() = 0;
  virtual bool is_asynchronous() const = 0;
  // Memory that reads will go to again and again, in place of what was registered before: the
  // kernel then pins its pages once and not for every read. Only a hint; refused where too little
  // memory may be locked. Precondition: nothing is under way, and what was registered is still
  // there.
  virtual void Register(std::span<const std::span<std::byte>> buffers) {
    static_cast<void>(buffers);
  }
};

// kUnsupported where the kernel or its policy refuses io_uring.
Result<std::unique_ptr<ReadQueue>> MakeUringQueue(int depth);
// Reads when it is waited for.
std::unique_ptr<ReadQueue> MakePreadQueue();

}  // namespace penstock

#endif  // PENSTOCK_BASE_READ_QUEUE_H_
