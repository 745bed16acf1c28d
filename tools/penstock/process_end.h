// Waiting for the end of a process that is not a child of this one.

#ifndef PENSTOCK_TOOLS_PROCESS_END_H_
#define PENSTOCK_TOOLS_PROCESS_END_H_

#include <sys/types.h>

#include <chrono>

#include "penstock/base/file.h"

namespace penstock::tools {

// Begins to watch a process when it is made. A process that has ended and that its parent has not
// asked after yet (in a container that may take seconds) has ended. Not thread-safe.
class ProcessEnd {
 public:
  // `process` <= 0: none, which has ended.
  explicit ProcessEnd(pid_t process);

  // True once the process has ended, false when `patience` is over.
  bool Wait(std::chrono::milliseconds patience) const;

 private:
  pid_t process_;
  FileDescriptor watched_;  // none: kernels before 5.3, which are asked again and again
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PROCESS_END_H_
