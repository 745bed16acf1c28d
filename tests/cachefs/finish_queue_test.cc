#include "cachefs/cache/finish_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace penstock::cachefs {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kBytes = 100;

class FinishQueueTest : public ::testing::Test {
 protected:
  ~FinishQueueTest() override {
    Release();
    queue_.Stop(10s);
  }

  static ReplicaPin MakeReplica() {
    auto source = std::make_shared<BlockSource>();
    source->file_bytes = kBytes;
    return std::make_shared<Replica>(source);
  }

  // A fetcher that is busy until Release.
  void Occupy() {
    fetchers_.Submit(WorkerPool::Priority::kDemand, [this] {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return released_; });
    });
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  bool WaitFor(size_t finished) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return finished_.size() >= finished; });
  }
  std::vector<Replica*> Finished() {
    const std::lock_guard lock(mutex_);
    return finished_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  std::vector<Replica*> finished_;
  WorkerPool fetchers_{1};
  FinishQueue queue_{fetchers_, 2 * kBytes, [this](const ReplicaPin& replica) {
                       const std::lock_guard lock(mutex_);
                       finished_.push_back(replica.get());
                       changed_.notify_all();
                     }};
};

TEST_F(FinishQueueTest, FinishesWhenThereIsNothingToFetch) {
  const std::vector<ReplicaPin> replicas{MakeReplica(), MakeReplica()};
  Occupy();
  for (const ReplicaPin& replica : replicas) queue_.Add(replica);
  EXPECT_TRUE(Finished().empty());
  Release();
  ASSERT_TRUE(WaitFor(2));
  EXPECT_EQ(Finished(), (std::vector<Replica*>{replicas[0].get(), replicas[1].get()}));
}

TEST_F(FinishQueueTest, FinishesTheOldestAtOnceWhereItIsTooMuch) {
  const std::vector<ReplicaPin> replicas{MakeReplica(), MakeReplica(), MakeReplica()};
  Occupy();
  for (const ReplicaPin& replica : replicas) queue_.Add(replica);
  EXPECT_EQ(Finished(), std::vector<Replica*>{replicas[0].get()});
}

TEST_F(FinishQueueTest, DoesNotWaitForEverForABusyStore) {
  const ReplicaPin replica = MakeReplica();
  Occupy();
  queue_.Add(replica);
  EXPECT_TRUE(WaitFor(1));
}

TEST_F(FinishQueueTest, WhatSomebodyWaitsForIsTaken) {
  const std::vector<ReplicaPin> replicas{MakeReplica(), MakeReplica()};
  Occupy();
  for (const ReplicaPin& replica : replicas) queue_.Add(replica);
  EXPECT_TRUE(queue_.Take(replicas[1]));
  EXPECT_FALSE(queue_.Take(replicas[1]));
  Release();
  ASSERT_TRUE(WaitFor(1));
  EXPECT_FALSE(queue_.Take(replicas[0]));
  EXPECT_EQ(Finished(), std::vector<Replica*>{replicas[0].get()});
}

TEST_F(FinishQueueTest, StopGivesBackWhatHasNotBegun) {
  const ReplicaPin replica = MakeReplica();
  Occupy();
  queue_.Add(replica);
  const auto left = queue_.Stop(10s);
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(*left, std::vector<ReplicaPin>{replica});
  queue_.Add(replica);
  Release();
  fetchers_.WaitIdle(10s);
  EXPECT_TRUE(Finished().empty());
}

}  // namespace
}  // namespace penstock::cachefs
