#include "cachefs/fuse/held_opens.h"

#include <gtest/gtest.h>

#include "tests/cachefs/faulty_upstream.h"

namespace penstock::cachefs {
namespace {

using std::chrono::seconds;

class HeldOpensTest : public testing::Test {
 protected:
  HeldOpen Opened(const std::string& name) {
    upstream_.AddFile(name, std::vector<std::byte>(3));
    HeldOpen open;
    open.file = *upstream_.Open(name);
    return open;
  }

  FaultyUpstream upstream_;
  HeldOpens held_;
  const HeldOpens::Clock::time_point start_ = HeldOpens::Clock::now();
};

TEST_F(HeldOpensTest, NothingIsHeldForWhoWasNotSentBack) {
  held_.Hold(7, "a", Opened("a"));
  EXPECT_FALSE(held_.IsAwaited(7, "a"));
  EXPECT_FALSE(held_.Take(7, "a"));
  EXPECT_EQ(held_.size(), 0U);
}

TEST_F(HeldOpensTest, TheNextOpenOfTheThreadTakesWhatTheLastLookupHeld) {
  held_.SentBack(7, "a", start_);
  EXPECT_TRUE(held_.IsAwaited(7, "a", start_));
  EXPECT_FALSE(held_.IsAwaited(8, "a", start_));
  EXPECT_FALSE(held_.IsAwaited(7, "b", start_));
  HeldOpen first = Opened("a");
  const std::weak_ptr<UpstreamFile> dropped = first.file;
  held_.Hold(7, "a", std::move(first));
  HeldOpen second = Opened("a");
  UpstreamFile* const expected = second.file.get();
  held_.Hold(7, "a", std::move(second));
  EXPECT_TRUE(dropped.expired());
  EXPECT_FALSE(held_.Take(8, "a"));
  const auto taken = held_.Take(7, "a");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->file.get(), expected);
  EXPECT_FALSE(held_.Take(7, "a"));
  EXPECT_FALSE(held_.IsAwaited(7, "a", start_));
}

TEST_F(HeldOpensTest, AnOpenWithoutALookupGetsNothing) {
  held_.SentBack(7, "a", start_);
  EXPECT_FALSE(held_.Take(7, "a"));
  EXPECT_EQ(held_.size(), 0U);
}

TEST_F(HeldOpensTest, WhatNobodyTakesGoesWithTheNextOneThatIsSentBackLater) {
  held_.SentBack(7, "a", start_);
  HeldOpen open = Opened("a");
  const std::weak_ptr<UpstreamFile> file = open.file;
  held_.Hold(7, "a", std::move(open));
  held_.SentBack(8, "b", start_ + HeldOpens::kPatience - seconds(1));
  EXPECT_FALSE(file.expired());
  EXPECT_FALSE(held_.IsAwaited(7, "a", start_ + HeldOpens::kPatience));
  held_.SentBack(9, "c", start_ + HeldOpens::kPatience);
  EXPECT_TRUE(file.expired());
  EXPECT_EQ(held_.size(), 2U);
}

}  // namespace
}  // namespace penstock::cachefs
