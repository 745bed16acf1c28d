// Parts of a scan, order of partitions, deadlines, marked pixels.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "penstock/base/npy.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/region.h"
#include "reader/partition_order.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing_support::SyntheticOptions;
using testing_support::WriteSyntheticDataset;

constexpr ScanShape kScan{9, 11, false};

std::vector<size_t> Chosen(const Result<std::vector<uint8_t>>& selection) {
  EXPECT_TRUE(selection.ok()) << (selection.ok() ? "" : selection.error().ToString());
  std::vector<size_t> chosen;
  for (size_t f = 0; selection.ok() && f < selection->size(); ++f) {
    if ((*selection)[f] != 0) chosen.push_back(f);
  }
  return chosen;
}

TEST(RegionTest, SlicesMeanWhatTheyMeanInPython) {
  EXPECT_EQ(Chosen(ParseRegion(":,:", kScan)).size(), 99u);
  EXPECT_THAT(Chosen(ParseRegion("2,3", kScan)), ElementsAre(25));
  EXPECT_THAT(Chosen(ParseRegion("-1,-1", kScan)), ElementsAre(98));
  EXPECT_THAT(Chosen(ParseRegion("1:3,4", kScan)), ElementsAre(15, 26));
  EXPECT_THAT(Chosen(ParseRegion("-2:,9:", kScan)), ElementsAre(86, 87, 97, 98));
  EXPECT_THAT(Chosen(ParseRegion("::4,::5", kScan)), ElementsAre(0, 5, 10, 44, 49, 54, 88, 93, 98));
  EXPECT_THAT(Chosen(ParseRegion("0,8:100", kScan)), ElementsAre(8, 9, 10));
  EXPECT_THAT(Chosen(ParseRegion("4:9:2", {1, 7, true})), ElementsAre(4, 6));
}

TEST(RegionTest, SaysWhatIsWrong) {
  for (const char* const text : {"", "1", "1,2,3", "a,b", "1:2:3:4,1", "1.5,2", "9,0", "0,-12",
                                 "5:5,:", "::0,:", "::-1,:", "20:,:"}) {
    const auto selection = ParseRegion(text, kScan);
    ASSERT_FALSE(selection.ok()) << text;
    EXPECT_EQ(selection.error().kind(), ErrorKind::kInvalidArgument) << text;
  }
}

class SelectionTest : public testing::Test {
 protected:
  SelectionTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("selection-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(directory_);
  }
  ~SelectionTest() override { std::filesystem::remove_all(directory_); }

  // Blocks of two scan rows; three frames lost.
  void Write(ElementType type, const std::vector<uint32_t>& pixel_mask = {}) {
    options_.shape = {kScan, {27, 31}, type};
    options_.block_bytes = 22 * options_.shape.frame_bytes();
    options_.missing = {0, 23, 98};
    options_.pixel_mask = pixel_mask;
    const Status written = WriteSyntheticDataset(directory_, options_);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
  }

  Reader Open(const ReadOptions& read = {}) {
    auto reader = Reader::Open(directory_, read);
    EXPECT_TRUE(reader.ok()) << (reader.ok() ? "" : reader.error().ToString());
    return std::move(reader).value();
  }

  PassOptions Options(std::vector<uint8_t> selection = {}) const {
    PassOptions options;
    options.threads = 2;
    options.tile_frames = 4;
    options.partition_bytes = 8 * options_.shape.frame_bytes();
    options.selection = std::move(selection);
    return options;
  }

  int64_t FrameSum(int64_t frame) const {
    int64_t sum = 0;
    for (int64_t y = 0; y < 27; ++y) {
      for (int64_t x = 0; x < 31; ++x) sum += Pixel(frame, y, x);
    }
    return sum;
  }
  int64_t Pixel(int64_t frame, int64_t y, int64_t x) const {
    return testing_support::SyntheticPixel<uint16_t>(frame, y, x, options_.shape.element_type);
  }

  std::filesystem::path BlockPath(size_t block) {
    return directory_ / Dataset::Open(directory_)->blocks()[block].relative_path;
  }

  std::filesystem::path directory_;
  SyntheticOptions options_;
};

TEST_F(SelectionTest, OnlyWantedFramesCount) {
  Write(ElementType::kUint16);
  const auto selection = ParseRegion("1:6:2,3::4", kScan);
  ASSERT_TRUE(selection.ok());
  auto masks = MaskReduction::Create({FullMask(options_.shape.signal)});
  SumReduction sum;
  Reduction* const reductions[] = {masks->get(), &sum};
  PassOptions options = Options(*selection);
  std::set<int64_t> done;
  options.on_partition = [&](const PassProgress& progress) {
    EXPECT_EQ(progress.frame_count, 6);
    for (size_t f = 0; f < 99; ++f) {
      if (progress.done[f] != 0) done.insert(static_cast<int64_t>(f));
    }
  };
  const auto summary = Open().Run(reductions, options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_THAT(done, ElementsAre(14, 18, 36, 40, 58, 62));
  EXPECT_EQ(summary->frames, 6);
  EXPECT_EQ(summary->frames_invalid, 0);
  EXPECT_EQ(summary->bytes, 6 * options_.shape.frame_bytes());
  EXPECT_TRUE(summary->complete);
  for (int64_t f = 0; f < 99; ++f) {
    EXPECT_EQ((*masks)->result().integers()[static_cast<size_t>(f)],
              done.contains(f) ? FrameSum(f) : 0);
  }
  int64_t expected = 0;
  for (const int64_t f : done) expected += Pixel(f, 5, 7);
  EXPECT_EQ(sum.result().integers()[5 * 31 + 7], expected);
  EXPECT_EQ(sum.frames_summed(), 6);
}

TEST_F(SelectionTest, LostFramesThatAreWantedAreCountedAsInvalid) {
  Write(ElementType::kUint16);
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  const auto summary = Open().Run(reductions, Options(*ParseRegion("2,:", kScan)));
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->frames, 11);
  EXPECT_EQ(summary->frames_invalid, 1);
  EXPECT_EQ(sum.frames_summed(), 10);
}

TEST_F(SelectionTest, BlocksThatNobodyWantsAreNotTouched) {
  Write(ElementType::kUint16);
  std::filesystem::remove(BlockPath(0));
  std::filesystem::remove(BlockPath(4));
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  EXPECT_TRUE(Open().Run(reductions, Options(*ParseRegion("2:8,:", kScan))).ok());
  EXPECT_EQ(sum.frames_summed(), 65);
  EXPECT_FALSE(Open().Run(reductions, Options(*ParseRegion("1:8,:", kScan))).ok());
}

TEST_F(SelectionTest, WantedFramesAreVerified) {
  Write(ElementType::kUint16);
  const std::filesystem::path block = BlockPath(1);
  std::filesystem::permissions(block, std::filesystem::perms::owner_all);
  {
    std::fstream file(block, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(65536 + 17);
    file.put('\x5a');
  }
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  // Another frame of the same extent.
  const auto summary = Open().Run(reductions, Options(*ParseRegion("3,5", kScan)));
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().kind(), ErrorKind::kCorrupt);
}

TEST_F(SelectionTest, MasksAndPointsComeFromFiles) {
  Write(ElementType::kUint16);
  const std::filesystem::path file = directory_ / "region.npy";
  const std::vector<int64_t> points = {0, 1, 8, 9};
  ASSERT_TRUE(WriteNpy(file, ElementType::kInt64, std::vector<int64_t>{2, 2},
                       std::as_bytes(std::span(points)))
                  .ok());
  EXPECT_THAT(Chosen(LoadRegion(file, kScan)), ElementsAre(1, 97));
  std::vector<uint8_t> mask(99);
  mask[7] = mask[50] = 1;
  ASSERT_TRUE(WriteNpy(file, ElementType::kUint8, std::vector<int64_t>{9, 11},
                       std::as_bytes(std::span(mask)))
                  .ok());
  EXPECT_THAT(Chosen(ParseRegion(file.string(), kScan)), ElementsAre(7, 50));
  EXPECT_FALSE(LoadRegion(file, {11, 9, false}).ok());
  const std::vector<int64_t> outside = {0, 11};
  ASSERT_TRUE(WriteNpy(file, ElementType::kInt64, std::vector<int64_t>{1, 2},
                       std::as_bytes(std::span(outside)))
                  .ok());
  EXPECT_FALSE(LoadRegion(file, kScan).ok());
}

TEST_F(SelectionTest, ASelectionOfAnotherScanIsRefused) {
  Write(ElementType::kUint16);
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  const auto summary = Open().Run(reductions, Options(std::vector<uint8_t>(98, 1)));
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().kind(), ErrorKind::kInvalidArgument);
}

TEST_F(SelectionTest, ADeadlineLeavesWhatIsDone) {
  Write(ElementType::kUint16);
  auto masks = MaskReduction::Create({FullMask(options_.shape.signal)});
  Reduction* const reductions[] = {masks->get()};
  PassOptions options = Options();
  options.threads = 1;
  int64_t merged = 0;
  options.on_partition = [&](const PassProgress& progress) {
    merged = progress.frames_done;
    if (progress.partitions_done == 2) std::this_thread::sleep_until(*options.deadline);
  };
  options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  const auto summary = Open().Run(reductions, options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_FALSE(summary->complete);
  EXPECT_EQ(summary->frames, merged);
  EXPECT_LT(merged, 99);
  options.deadline = std::chrono::steady_clock::now();
  options.on_partition = nullptr;
  const auto none = Open().Run(reductions, options);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->partitions, 0);
  EXPECT_FALSE(none->complete);
}

// A single worker has taken the third partition by then, and reads it.
TEST_F(SelectionTest, AfterItsDeadlineAPassBeginsNothing) {
  Write(ElementType::kUint16);
  ReadOptions read;
  read.backend = Backend::kDirect;
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  PassOptions options = Options();
  options.threads = 1;
  options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  options.on_partition = [&](const PassProgress& progress) {
    if (progress.partitions_done == 2) std::this_thread::sleep_until(*options.deadline);
  };
  const auto summary = Open(read).Run(reductions, options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_LE(summary->partitions, 2);
  EXPECT_FALSE(summary->complete);
}

// While it works on the last of one block, the next one is open as well.
TEST_F(SelectionTest, ASingleWorkerReadsAhead) {
  Write(ElementType::kUint16);
  ReadOptions read;
  read.backend = Backend::kDirect;
  read.verify = false;
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  PassOptions options = Options();
  options.partition_bytes = options_.block_bytes;
  options.threads = 1;
  std::vector<size_t> blocks_open;
  options.on_partition = [&](const PassProgress& /*progress*/) {
    std::set<std::string> open;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      const std::string path = std::filesystem::read_symlink(entry.path(), gone).string();
      if (!gone && path.starts_with(directory_.string())) open.insert(path);
    }
    blocks_open.push_back(open.size());
  };
  const auto summary = Open(read).Run(reductions, options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  if (summary->partitions_direct == 0) GTEST_SKIP() << "no direct reads here: " << directory_;
  ASSERT_EQ(summary->partitions, 5);
  EXPECT_THAT(blocks_open, ElementsAre(2, 2, 2, 2, 2));  // at the end, the one before
}

TEST_F(SelectionTest, MarkedPixelsAreLeftOut) {
  std::vector<uint32_t> marked(27 * 31);
  marked[5 * 31 + 7] = 2;
  marked[0] = 1;
  Write(ElementType::kUint16, marked);
  auto masks = MaskReduction::Create({FullMask(options_.shape.signal)});
  SumReduction sum;
  StatisticsReduction statistics;
  Reduction* const reductions[] = {masks->get(), &sum, &statistics};
  ASSERT_TRUE(Open().Run(reductions, Options()).ok());
  EXPECT_EQ((*masks)->result().integers()[40], FrameSum(40) - Pixel(40, 5, 7) - Pixel(40, 0, 0));
  EXPECT_EQ(sum.result().integers()[5 * 31 + 7], 0);
  EXPECT_GT(sum.result().integers()[5 * 31 + 8], 0);
  EXPECT_TRUE(std::isnan(statistics.Mean().doubles()[0]));
  EXPECT_TRUE(std::isnan(statistics.StandardDeviation().doubles()[5 * 31 + 7]));
  EXPECT_FALSE(std::isnan(statistics.StandardDeviation().doubles()[5 * 31 + 8]));
  // On request they count.
  ReadOptions read;
  read.use_pixel_mask = false;
  auto reader = Reader::Open(directory_, read);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(reader->Run(reductions, Options()).ok());
  EXPECT_EQ((*masks)->result().integers()[40], FrameSum(40));
}

TEST_F(SelectionTest, TheOrderOfMergingIsFreeWhereItMakesNoDifference) {
  auto masks = MaskReduction::Create({FullMask({27, 31})});
  SumReduction sum;
  StatisticsReduction statistics;
  for (const ElementType type :
       {ElementType::kUint8, ElementType::kUint16, ElementType::kUint32, ElementType::kFloat32}) {
    PassPlan plan;
    plan.shape = {kScan, {27, 31}, type};
    plan.partition_frames = 1;
    ASSERT_TRUE((*masks)->Begin(plan).ok() && sum.Begin(plan).ok() && statistics.Begin(plan).ok());
    EXPECT_TRUE((*masks)->IsOrderFree());
    EXPECT_EQ(sum.IsOrderFree(), type != ElementType::kFloat32);
    EXPECT_EQ(statistics.IsOrderFree(), ElementSize(type) <= 2);
  }
}

std::vector<size_t> TakeAll(PartitionOrder& order, const std::vector<Locality>& where) {
  std::vector<size_t> taken;
  while (const auto next = order.Take([&](size_t index) { return where[index]; })) {
    taken.push_back(*next);
  }
  return taken;
}

TEST(PartitionOrderTest, TheNearestComeFirst) {
  const auto memory = Locality::kMemory;
  const auto disk = Locality::kDisk;
  const auto far = Locality::kFar;
  PartitionOrder nearest(7, true);
  EXPECT_THAT(TakeAll(nearest, {far, disk, memory, far, disk, disk, memory}),
              ElementsAre(2, 6, 1, 4, 5, 0, 3));
  PartitionOrder plain(3, false);
  EXPECT_THAT(TakeAll(plain, {far, disk, memory}), ElementsAre(0, 1, 2));
}

TEST(PartitionOrderTest, NotAllAreLookedAtBeforeTheFirst) {
  const size_t count = 1000;
  PartitionOrder order(count, true);
  size_t looks = 0;
  std::set<size_t> taken;
  size_t most = 0;
  while (const auto next = order.Take([&](size_t) {
    ++looks;
    return Locality::kFar;
  })) {
    if (taken.empty()) most = looks;
    taken.insert(*next);
  }
  EXPECT_EQ(taken.size(), count);
  EXPECT_EQ(looks, count);
  EXPECT_LE(most, 64u);
}

}  // namespace
}  // namespace penstock
