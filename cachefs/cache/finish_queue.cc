#include "cachefs/cache/finish_queue.h"

#include <algorithm>
#include <utility>

namespace penstock::cachefs {

namespace {

// A reader that consumes what was read ahead for it leaves the fetchers without work for moments.
constexpr std::chrono::milliseconds kQuiet{100};

}  // namespace

FinishQueue::FinishQueue(WorkerPool& fetchers, uint64_t most_bytes,
                         std::function<void(const ReplicaPin&)> finish)
    : fetchers_(fetchers),
      most_bytes_(most_bytes),
      finish_(std::move(finish)),
      thread_([this] { Work(); }) {}

FinishQueue::~FinishQueue() {
  Stop(std::chrono::milliseconds(0));
  thread_.join();
}

uint64_t FinishQueue::BytesOf(const Waiting& waiting) {
  return waiting.replica->source->file_bytes;
}

ReplicaPin FinishQueue::TakeOldestLocked() {
  ReplicaPin oldest = std::move(waiting_.front().replica);
  bytes_ -= oldest->source->file_bytes;
  waiting_.pop_front();
  return oldest;
}

void FinishQueue::Add(const ReplicaPin& replica) {
  std::vector<ReplicaPin> too_much;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    waiting_.push_back({replica, Clock::now()});
    bytes_ += BytesOf(waiting_.back());
    while (bytes_ > most_bytes_) too_much.push_back(TakeOldestLocked());
  }
  changed_.notify_all();
  for (const ReplicaPin& oldest : too_much) finish_(oldest);
}

bool FinishQueue::Take(const ReplicaPin& replica) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      waiting_, [&](const Waiting& waiting) { return waiting.replica.get() == replica.get(); });
  if (found == waiting_.end()) return false;
  bytes_ -= BytesOf(*found);
  waiting_.erase(found);
  return true;
}

std::optional<std::vector<ReplicaPin>> FinishQueue::Stop(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  std::vector<ReplicaPin> left;
  while (!waiting_.empty()) left.push_back(TakeOldestLocked());
  if (!changed_.wait_for(lock, patience, [this] { return ended_; })) return std::nullopt;
  return left;
}

void FinishQueue::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) break;
    const Clock::time_point latest = waiting_.front().since + kPatience;
    lock.unlock();
    fetchers_.WaitQuiet(kQuiet, latest);
    lock.lock();
    while (!stopping_ && !waiting_.empty() &&
           (fetchers_.IsIdle() || Clock::now() >= waiting_.front().since + kPatience)) {
      ReplicaPin oldest = TakeOldestLocked();
      lock.unlock();
      finish_(oldest);
      oldest.reset();
      lock.lock();
    }
  }
  ended_ = true;
  changed_.notify_all();
}

}  // namespace penstock::cachefs
