#include "cachefs/cache/parked_tasks.h"

#include <utility>

namespace penstock::cachefs {

void ParkedTasks::Park(std::chrono::milliseconds delay, Task task) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->dropped) return;
    number = state_->next++;
    state_->tasks.emplace(number, std::move(task));
  }
  deadlines_.At(DeadlineWatch::Clock::now() + delay, [weak = std::weak_ptr<State>(state_), number] {
    const auto state = weak.lock();
    if (!state) return;
    Task task;  // destroyed after the lock has gone
    const std::lock_guard lock(state->mutex);
    const auto found = state->tasks.find(number);
    if (found == state->tasks.end()) return;
    task = std::move(found->second);
    state->tasks.erase(found);
    task();
  });
}

void ParkedTasks::Drop() {
  std::map<uint64_t, Task> tasks;  // destroyed after the lock has gone
  const std::lock_guard lock(state_->mutex);
  state_->dropped = true;
  tasks.swap(state_->tasks);
}

}  // namespace penstock::cachefs
