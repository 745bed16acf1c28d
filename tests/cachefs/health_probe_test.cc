#include "cachefs/sight/health_probe.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace penstock::cachefs {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Store {
 public:
  Status Stat() {
    std::unique_lock lock(mutex_);
    ++asked_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !stalled_; });
    if (broken_) return Error(ErrorKind::kIo, "the store burns");
    return {};
  }
  void Set(bool stalled, bool broken) {
    const std::lock_guard lock(mutex_);
    stalled_ = stalled;
    broken_ = broken;
    changed_.notify_all();
  }
  void WaitUntilAsked(int times) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, times] { return asked_ >= times; });
  }
  int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stalled_ = false;
  bool broken_ = false;
  int asked_ = 0;
};

TEST(HealthProbe, PassesTheAnswerOn) {
  Store store;
  HealthProbe probe("/store", [&store] { return store.Stat(); });
  EXPECT_TRUE(probe.Ask(seconds(60)).ok());
  store.Set(/*stalled=*/false, /*broken=*/true);
  const auto broken = probe.Ask(seconds(60));
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().kind(), ErrorKind::kIo);
  EXPECT_EQ(store.asked(), 2);
}

TEST(HealthProbe, AsksWhatHangsOnce) {
  Store store;
  HealthProbe probe("/store", [&store] { return store.Stat(); });
  store.Set(/*stalled=*/true, /*broken=*/false);
  for (int i = 0; i < 3; ++i) {
    const auto late = probe.Ask(milliseconds(1));
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.error().kind(), ErrorKind::kTimeout);
  }
  store.WaitUntilAsked(1);
  std::thread waiting([&probe] { EXPECT_TRUE(probe.Ask(seconds(60)).ok()); });
  store.Set(/*stalled=*/false, /*broken=*/false);
  waiting.join();
  // The thread either waited for the first question or, where it came late, asked another.
  EXPECT_LE(store.asked(), 2);
  EXPECT_TRUE(probe.Ask(seconds(60)).ok());
}

}  // namespace

}  // namespace penstock::cachefs
