// One worker's two readers: what is begun ahead is not begun again, and who reads is whose turn it
// is.

#include "reader/io/reader_pair.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace penstock {
namespace {

class NamedReader final : public PartitionReader {
 public:
  NamedReader(int number, std::vector<std::string>& log) : number_(number), log_(log) {}

  Locality LocalityOf(const Partition& /*partition*/) override { return Locality::kDisk; }
  Status Start(const Partition& partition, bool alone) override {
    log_.push_back(std::to_string(number_) + " starts " + std::to_string(partition.frames.first) +
                   (alone ? " alone" : ""));
    if (partition.frames.first == 666) return Error::NotFound("no such frames");
    return Status::Ok();
  }
  Result<FrameRun> Next() override { return FrameRun{}; }
  void CountPartition(PassSummary& /*summary*/) const override {}
  int64_t extents_verified() const override { return number_ == 0 ? 5 : 7; }

 private:
  const int number_;
  std::vector<std::string>& log_;
};

Partition From(int64_t first) { return {.index = 0, .block = 0, .frames = {first, first + 10}}; }

class ReaderPairTest : public testing::Test {
 protected:
  std::vector<std::string> log_;
  int made_ = 0;
  ReaderPair pair_{[this] { return std::make_unique<NamedReader>(made_++, log_); }};
};

TEST_F(ReaderPairTest, WithoutReadingAheadThereIsOneReader) {
  ASSERT_TRUE(pair_.Begin(From(0), true).ok());
  ASSERT_TRUE(pair_.Begin(From(10), false).ok());
  EXPECT_EQ(log_, (std::vector<std::string>{"0 starts 0 alone", "0 starts 10"}));
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(pair_.extents_verified(), 5);
}

TEST_F(ReaderPairTest, WhatWasBegunAheadIsReadByTheOther) {
  ASSERT_TRUE(pair_.Begin(From(0), false).ok());
  const PartitionReader* const first = &pair_.current();
  pair_.BeginAhead(From(10), true);
  EXPECT_EQ(&pair_.current(), first);
  ASSERT_TRUE(pair_.Begin(From(10), true).ok());
  EXPECT_NE(&pair_.current(), first);
  pair_.BeginAhead(From(20), false);
  ASSERT_TRUE(pair_.Begin(From(20), false).ok());
  EXPECT_EQ(&pair_.current(), first);
  EXPECT_EQ(log_, (std::vector<std::string>{"0 starts 0", "1 starts 10 alone", "0 starts 20"}));
  EXPECT_EQ(pair_.extents_verified(), 12);
}

// As after a device has failed in the middle of a partition.
TEST_F(ReaderPairTest, APartitionIsBegunAnewBeforeTheNextOne) {
  ASSERT_TRUE(pair_.Begin(From(0), false).ok());
  pair_.BeginAhead(From(10), false);
  ASSERT_TRUE(pair_.Begin(From(0), false).ok());
  ASSERT_TRUE(pair_.Begin(From(10), false).ok());
  EXPECT_EQ(log_, (std::vector<std::string>{"0 starts 0", "1 starts 10", "0 starts 0"}));
}

TEST_F(ReaderPairTest, WhyItDidNotBeginIsSaidWhenItIsItsTurn) {
  ASSERT_TRUE(pair_.Begin(From(0), false).ok());
  pair_.BeginAhead(From(666), false);
  const Status begun = pair_.Begin(From(666), false);
  ASSERT_FALSE(begun.ok());
  EXPECT_EQ(begun.error().kind(), ErrorKind::kNotFound);
}

}  // namespace
}  // namespace penstock
