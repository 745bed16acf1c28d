// ParkedTasks: tasks that come back after a while, unless their owner has gone before.

#ifndef PENSTOCK_CACHEFS_CACHE_PARKED_TASKS_H_
#define PENSTOCK_CACHEFS_CACHE_PARKED_TASKS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "cachefs/cache/deadline_watch.h"

namespace penstock::cachefs {

// Thread-safe. What DeadlineWatch holds does not keep a task alive: with this they all go.
class ParkedTasks {
 public:
  using Task = std::function<void()>;

  // `deadlines` must outlive this.
  explicit ParkedTasks(DeadlineWatch& deadlines) : deadlines_(deadlines) {}
  ~ParkedTasks() { Drop(); }
  ParkedTasks(const ParkedTasks&) = delete;
  ParkedTasks& operator=(const ParkedTasks&) = delete;

  // Runs `task`, which must be short, on the thread of the deadlines. After Drop it is dropped.
  void Park(std::chrono::milliseconds delay, Task task);
  // Forgets all tasks, and waits for one that is being run.
  void Drop();

 private:
  struct State {
    std::mutex mutex;
    bool dropped = false;
    uint64_t next = 0;
    std::map<uint64_t, Task> tasks;
  };

  DeadlineWatch& deadlines_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_PARKED_TASKS_H_
