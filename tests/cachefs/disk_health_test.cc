// When the cache disk is taken out of use, and when it comes back.

#include "cachefs/cache/disk_health.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

using State = DiskHealth::State;
using std::chrono::milliseconds;

constexpr DiskHealthOptions kQuick{.longest_wait = milliseconds(200),
                                   .probe_pause = milliseconds(1),
                                   .off_pause = milliseconds(1)};

Error Sick() { return Error::FromErrno(EIO, "cannot read"); }

void WaitFor(const DiskHealth& health, State state) {
  while (health.state() != state) std::this_thread::sleep_for(milliseconds(1));
}

TEST(DiskHealth, SeveralFailuresMakeItDoubtfulAndProbesBringItBack) {
  std::atomic<int> probes = 0;
  DiskHealth health(
      [&]() -> Status {
        if (++probes < 3) return Sick();
        return {};
      },
      kQuick);
  health.Start();
  health.Failed(Sick());
  health.Failed(Sick());
  EXPECT_EQ(health.state(), State::kNormal);
  EXPECT_EQ(probes, 0);
  health.Failed(Sick());
  WaitFor(health, State::kNormal);  // two bad probes, three good ones
  EXPECT_EQ(probes, 5);
  EXPECT_TRUE(health.usable());
  EXPECT_TRUE(health.Stop(std::chrono::seconds(10)));
}

TEST(DiskHealth, AFullDiskIsNotSick) {
  DiskHealth health([] { return Status(); }, kQuick);
  for (int i = 0; i < 10; ++i) health.Failed(Error::FromErrno(ENOSPC, "cannot write"));
  EXPECT_EQ(health.state(), State::kNormal);
}

TEST(DiskHealth, OffWhenTheProbesFailAndBackFromThere) {
  std::atomic<bool> sick = true;
  DiskHealth health(
      [&]() -> Status {
        if (sick) return Sick();
        return {};
      },
      kQuick);
  health.Start();
  for (int i = 0; i < 3; ++i) health.Failed(Sick());
  WaitFor(health, State::kOff);
  EXPECT_EQ(health.Describe()["state"], "off");
  EXPECT_NE(health.Describe()["reason"].get<std::string>().find("cannot read"), std::string::npos);
  sick = false;
  WaitFor(health, State::kNormal);
  EXPECT_EQ(health.Describe()["reason"], "");
}

TEST(DiskHealth, OneThatWaitsForEverIsNoticedAndReplaced) {
  std::atomic<int> stuck = 0;
  std::promise<void> go_on;
  DiskHealth health([&]() -> Status { return Sick(); }, kQuick);
  health.OnStuck([&] { ++stuck; });
  health.Start();
  std::thread worker([&] {
    const DiskHealth::Wait wait(&health);
    go_on.get_future().wait();
  });
  WaitFor(health, State::kOff);
  while (stuck == 0) std::this_thread::sleep_for(milliseconds(1));
  std::this_thread::sleep_for(2 * kQuick.longest_wait);
  EXPECT_EQ(stuck, 1);  // once
  go_on.set_value();
  worker.join();
}

// The cache with a disk that is declared sick: reads go through, nothing is kept, and after the
// recovery everything is as before.
class SickDiskTest : public CacheFixture {
 protected:
  void TearDown() override {
    sick_ = false;
    Close();
  }
  void OpenWithHealth() { Open({.fetch_threads = 2, .health = &health_}); }

  std::atomic<bool> sick_ = true;
  DiskHealth health_{[this]() -> Status {
                       if (sick_) return Sick();
                       return {};
                     },
                     kQuick};
};

TEST_F(SickDiskTest, IsReadThroughAndRecovers) {
  const auto kept = AddBlock(0, 2 * kExtentBytes);
  const auto other = AddBlock(1, 2 * kExtentBytes);
  OpenWithHealth();
  ASSERT_TRUE(WaitComplete(kept).ok());
  health_.Start();
  for (int i = 0; i < 3; ++i) health_.Failed(Sick());
  WaitFor(health_, State::kOff);

  const int reads = upstream_->reads();
  ExpectRight(kept, 100, kExtentBytes);  // two extents
  EXPECT_EQ(upstream_->reads(), reads + 2);
  ExpectRight(other, 0, 2 * kExtentBytes);
  EXPECT_FALSE(cache_->IsComplete(cache_->Pin(kept)));  // nothing is handed out
  EXPECT_FALSE(WaitComplete(other).ok());
  EXPECT_EQ(cache_->ResidencyOf(*other).extents_present, 0);

  // Neither copy but the one on the sick disk: it is proved and used.
  upstream_->SetFault([](int) { return Fault::kIoError; });
  ExpectRight(kept, 100, 1000);
  EXPECT_FALSE(Read(other, 0, 10).ok());
  upstream_->SetFault([](int) { return Fault::kNone; });

  sick_ = false;
  WaitFor(health_, State::kNormal);
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(kept)));
  const int before = upstream_->reads();
  ExpectRight(kept, 0, 2 * kExtentBytes);
  EXPECT_EQ(upstream_->reads(), before);
  ASSERT_TRUE(WaitComplete(other).ok());
}

TEST_F(SickDiskTest, WhatWasNotLookedAtWhileItWasSickIsFoundAfterwards) {
  const auto block = AddBlock(0, kExtentBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  Close();
  OpenWithHealth();
  health_.Start();
  for (int i = 0; i < 3; ++i) health_.Failed(Sick());
  WaitFor(health_, State::kOff);
  ExpectRight(block, 0, kExtentBytes);
  EXPECT_EQ(counters_->fetched_bytes, kExtentBytes);
  sick_ = false;
  WaitFor(health_, State::kNormal);
  ExpectRight(block, 0, kExtentBytes);
  EXPECT_EQ(counters_->fetched_bytes, kExtentBytes);
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(block)));
}

}  // namespace
}  // namespace penstock::cachefs
