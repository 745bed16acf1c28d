// Several ingests at once within one bound on workers and memory.
//
// Each ingest states how many workers and how much memory it wants, and starts once both are free;
// an ingest that wants everything runs alone. So many small acquisitions run side by side with one
// worker each, and a large one with all workers, in the order in which they were given.

#ifndef PENSTOCK_TOOLS_JOB_SLOTS_H_
#define PENSTOCK_TOOLS_JOB_SLOTS_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace penstock::tools {

// Thread-safe; jobs are joined on destruction.
class JobSlots {
 public:
  // `most_jobs`: 0 for as many as there are workers.
  JobSlots(int workers, uint64_t memory_bytes, int most_jobs = 0);
  ~JobSlots() { Wait(); }
  JobSlots(const JobSlots&) = delete;
  JobSlots& operator=(const JobSlots&) = delete;

  int workers() const { return workers_; }
  uint64_t memory_bytes() const { return memory_bytes_; }

  // Runs the job on a thread of its own, as soon as there is room; waits for that. False where
  // `stop` came first.
  bool Run(int workers, uint64_t memory_bytes, const std::stop_token& stop,
           std::function<void()> job);
  // Whether the same would have to wait.
  bool HasRoom(int workers, uint64_t memory_bytes);
  bool IsIdle();
  void Wait();  // until every job has ended

 private:
  struct Running {
    std::thread thread;
    bool done = false;
  };
  bool Fits(int workers, uint64_t memory_bytes) const;  // with the mutex held
  void Reap(std::unique_lock<std::mutex>& lock);

  const int workers_;
  const uint64_t memory_bytes_;
  const int most_jobs_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::unique_ptr<Running>> running_;
  int jobs_ = 0;
  int used_workers_ = 0;
  uint64_t used_memory_ = 0;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_JOB_SLOTS_H_
