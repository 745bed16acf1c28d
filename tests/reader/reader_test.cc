// Whole passes over datasets on disk: every back end, any number of threads, lost frames, partial
// results, cancellation, damage.

#include "penstock/reader/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/reader/operations.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing_support::SyntheticFrame;
using testing_support::SyntheticOptions;
using testing_support::WriteSyntheticDataset;

constexpr Backend kBackends[] = {Backend::kAutomatic, Backend::kMmap, Backend::kDirect,
                                 Backend::kPread};

class ReaderTest : public testing::Test {
 protected:
  ReaderTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("reader-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(directory_);
  }
  ~ReaderTest() override { std::filesystem::remove_all(directory_); }

  // 9 x 11 frames of 27 x 31 pixels in blocks of two rows, three frames lost.
  void Write(ElementType type) {
    options_.shape = {{9, 11, false}, {27, 31}, type};
    options_.block_bytes = 22 * options_.shape.frame_bytes();
    options_.missing = {0, 23, 98};
    const Status written = WriteSyntheticDataset(directory_, options_);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
  }

  Reader Open(Backend backend) {
    ReadOptions options;
    options.backend = backend;
    options.buffer_bytes = 3 * options_.shape.frame_bytes();  // several chunks per partition
    options.request_bytes = 4096;
    auto reader = Reader::Open(directory_, options);
    EXPECT_TRUE(reader.ok()) << (reader.ok() ? "" : reader.error().ToString());
    return std::move(reader).value();
  }

  // Small partitions and tiles, so that a small dataset goes through every seam.
  PassOptions Options(int threads) const {
    PassOptions options;
    options.threads = threads;
    options.tile_frames = 4;
    options.tile_bytes = 4096;
    options.partition_bytes = 8 * options_.shape.frame_bytes();
    return options;
  }

  std::filesystem::path BlockPath(int block) {
    auto dataset = Dataset::Open(directory_);
    EXPECT_TRUE(dataset.ok());
    return directory_ / dataset->blocks()[static_cast<size_t>(block)].relative_path;
  }

  template <typename Pixel>
  std::vector<std::vector<Pixel>> ExpectedFrames() const {
    std::vector<std::vector<Pixel>> frames;
    for (int64_t n = 0; n < options_.shape.frame_count(); ++n) {
      const std::vector<std::byte> bytes = SyntheticFrame(options_, n);
      std::vector<Pixel> pixels(bytes.size() / sizeof(Pixel));
      std::memcpy(pixels.data(), bytes.data(), bytes.size());
      frames.push_back(std::move(pixels));
    }
    return frames;
  }

  std::vector<Mask> Masks() const {
    const SignalShape signal = options_.shape.signal;
    return {DiskMask(signal, 13, 15, 6), AnnulusMask(signal, 13, 15, 6, 12.5), FullMask(signal)};
  }

  std::filesystem::path directory_;
  SyntheticOptions options_;
};

struct AllResults {
  ResultArray masks, sum, mean, deviation, rows, columns;
  PassSummary summary;
};

AllResults RunAll(const Reader& reader, const std::vector<Mask>& masks,
                  const PassOptions& options) {
  auto mask_sums = MaskReduction::Create(masks);
  auto centre = CentreOfMassReduction::Create(masks[1]);
  EXPECT_TRUE(mask_sums.ok() && centre.ok());
  SumReduction sum;
  StatisticsReduction statistics;
  Reduction* const reductions[] = {mask_sums->get(), centre->get(), &sum, &statistics};
  auto summary = reader.Run(reductions, options);
  EXPECT_TRUE(summary.ok()) << (summary.ok() ? "" : summary.error().ToString());
  return {(*mask_sums)->result(),
          sum.result(),
          statistics.Mean(),
          statistics.StandardDeviation(),
          (*centre)->Rows(),
          (*centre)->Columns(),
          *summary};
}

// The same bits, NaN included.
bool Same(const ResultArray& a, const ResultArray& b) {
  if (a.shape != b.shape || a.values.index() != b.values.index() || a.size() != b.size())
    return false;
  return std::visit(
      [&](const auto& left) {
        const auto& right = std::get<std::decay_t<decltype(left)>>(b.values);
        return std::memcmp(left.data(), right.data(), left.size() * sizeof(left[0])) == 0;
      },
      a.values);
}

TEST_F(ReaderTest, IntegerResultsEqualAPlainLoopOnEveryBackEnd) {
  Write(ElementType::kUint16);
  const auto frames = ExpectedFrames<uint16_t>();
  const std::vector<Mask> masks = Masks();
  for (const Backend backend : kBackends) {
    SCOPED_TRACE(BackendName(backend));
    const AllResults found = RunAll(Open(backend), masks, Options(2));
    EXPECT_EQ(found.summary.frames, 99);
    EXPECT_EQ(found.summary.frames_invalid, 3);
    EXPECT_EQ(found.summary.bytes, 99 * options_.shape.frame_bytes());
    ASSERT_EQ(found.masks.shape, (std::vector<int64_t>{3, 9, 11}));
    ASSERT_TRUE(found.masks.is_integer() && found.sum.is_integer());
    for (size_t k = 0; k < masks.size(); ++k) {
      for (size_t f = 0; f < frames.size(); ++f) {
        int64_t expected = 0;
        for (size_t p = 0; p < frames[f].size(); ++p) {
          if (masks[k].weights[p] != 0) expected += frames[f][p];
        }
        ASSERT_EQ(found.masks.integers()[k * 99 + f], expected) << "mask " << k << " frame " << f;
      }
    }
    for (size_t p = 0; p < frames[0].size(); ++p) {
      int64_t expected = 0;  // lost frames are zeros in the reference
      for (const auto& frame : frames) expected += frame[p];
      ASSERT_EQ(found.sum.integers()[p], expected);
      ASSERT_EQ(found.mean.doubles()[p], static_cast<double>(expected) / 96.0);
    }
    EXPECT_TRUE(std::isnan(found.rows.doubles()[23]));
    EXPECT_FALSE(std::isnan(found.rows.doubles()[24]));
  }
}

TEST_F(ReaderTest, BackEndAndThreadsDoNotChangeABit) {
  for (const ElementType type :
       {ElementType::kUint8, ElementType::kUint32, ElementType::kFloat32}) {
    SCOPED_TRACE(ZarrDataType(type));
    std::filesystem::remove_all(directory_);
    Write(type);
    std::vector<Mask> masks = Masks();
    for (double& weight : masks[1].weights) weight *= 0.37;  // the float path
    const AllResults first = RunAll(Open(Backend::kMmap), masks, Options(1));
    for (const Backend backend : kBackends) {
      for (const int threads : {1, 2, 5}) {
        SCOPED_TRACE(testing::Message() << BackendName(backend) << ", " << threads << " threads");
        const AllResults again = RunAll(Open(backend), masks, Options(threads));
        EXPECT_TRUE(Same(first.masks, again.masks));
        EXPECT_TRUE(Same(first.sum, again.sum));
        EXPECT_TRUE(Same(first.mean, again.mean));
        EXPECT_TRUE(Same(first.deviation, again.deviation));
        EXPECT_TRUE(Same(first.rows, again.rows));
        EXPECT_TRUE(Same(first.columns, again.columns));
      }
    }
  }
}

TEST_F(ReaderTest, TheBackEndThatWasAskedForReads) {
  Write(ElementType::kUint16);
  const std::vector<Mask> masks = Masks();
  const PassSummary mapped = RunAll(Open(Backend::kMmap), masks, Options(1)).summary;
  EXPECT_EQ(mapped.partitions_mapped, mapped.partitions);
  const PassSummary pread = RunAll(Open(Backend::kPread), masks, Options(1)).summary;
  EXPECT_EQ(pread.partitions_pread, pread.partitions);
  // Blocks were written past the page cache or were just read: either way one of the two.
  const PassSummary chosen = RunAll(Open(Backend::kAutomatic), masks, Options(1)).summary;
  EXPECT_EQ(chosen.partitions_mapped + chosen.partitions_direct + chosen.partitions_pread,
            chosen.partitions);
}

TEST_F(ReaderTest, WarmBlocksAreMappedAndColdOnesAreNot) {
  Write(ElementType::kUint16);
  const std::vector<Mask> masks = Masks();
  for (int block = 0; block < 5; ++block) {
    auto bytes = ReadWholeFile(BlockPath(block), uint64_t{1} << 30);
    ASSERT_TRUE(bytes.ok());
  }
  const PassSummary warm = RunAll(Open(Backend::kAutomatic), masks, Options(1)).summary;
  EXPECT_EQ(warm.partitions_mapped, warm.partitions);
}

// Counts how often each pixel of each frame is seen.
class CoverageReduction final : public Reduction {
 public:
  struct Mine final : State {
    std::vector<uint8_t> seen;
    int64_t first_frame = 0;
    int64_t next_order = 0;
  };

  Status Begin(const PassPlan& plan) override {
    plan_ = plan;
    seen_.assign(static_cast<size_t>(plan.shape.frame_count() * plan.shape.signal.pixel_count()),
                 0);
    merged_.clear();
    return Status::Ok();
  }
  std::unique_ptr<State> MakeState() const override { return std::make_unique<Mine>(); }
  void BeginPartition(State& state, const Partition& partition) const override {
    auto& mine = static_cast<Mine&>(state);
    mine.first_frame = partition.frames.first;
    mine.seen.assign(static_cast<size_t>((partition.frames.last - partition.frames.first) *
                                         plan_.shape.signal.pixel_count()),
                     0);
  }
  void Process(State& state, const Tile& tile) const override {
    auto& mine = static_cast<Mine&>(state);
    EXPECT_LE(tile.frame_count, plan_.tile_frames);
    EXPECT_LE(tile.pixel_count, plan_.tile_pixels);
    EXPECT_EQ(tile.first_pixel % 256, 0);
    for (int64_t f = 0; f < tile.frame_count; ++f) {
      for (int64_t p = 0; p < tile.pixel_count; ++p) {
        ++mine.seen[static_cast<size_t>((tile.first_frame + f - mine.first_frame) *
                                            plan_.shape.signal.pixel_count() +
                                        tile.first_pixel + p)];
      }
    }
  }
  void Merge(State& state, const Partition& partition) override {
    const auto& mine = static_cast<const Mine&>(state);
    std::copy(mine.seen.begin(), mine.seen.end(),
              seen_.begin() + partition.frames.first * plan_.shape.signal.pixel_count());
    merged_.push_back(partition.index);
  }

  PassPlan plan_;
  std::vector<uint8_t> seen_;
  std::vector<int64_t> merged_;
};

TEST_F(ReaderTest, EveryPixelIsSeenOnceAndPartitionsMergeInOrder) {
  Write(ElementType::kUint8);
  for (const Backend backend : kBackends) {
    CoverageReduction coverage;
    Reduction* const reductions[] = {&coverage};
    ASSERT_TRUE(Open(backend).Run(reductions, Options(4)).ok());
    EXPECT_THAT(coverage.seen_, testing::Each(1));
    std::vector<int64_t> expected(static_cast<size_t>(coverage.plan_.partition_count));
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<int64_t>(i);
    EXPECT_EQ(coverage.merged_, expected);
    EXPECT_GT(expected.size(), 9u);
  }
}

TEST_F(ReaderTest, PartialResultsComeWithTheFramesThatAreFinal) {
  Write(ElementType::kUint16);
  const Reader reader = Open(Backend::kMmap);
  auto masks = MaskReduction::Create(Masks());
  ASSERT_TRUE(masks.ok());
  Reduction* const reductions[] = {masks->get()};
  const AllResults final = RunAll(reader, Masks(), Options(1));
  PassOptions options = Options(3);
  int64_t calls = 0;
  std::vector<bool> merged(99);
  options.on_partition = [&](const PassProgress& progress) {
    EXPECT_EQ(progress.partitions_done, ++calls);
    EXPECT_EQ(progress.frame_count, 99);
    // Masks are order-free: with three threads any partition may be the next.
    for (int64_t f = progress.last.frames.first; f < progress.last.frames.last; ++f) {
      ASSERT_FALSE(merged[static_cast<size_t>(f)]) << f;
      merged[static_cast<size_t>(f)] = true;
    }
    EXPECT_EQ(progress.frames_done, std::count(merged.begin(), merged.end(), true));
    ASSERT_EQ(progress.done.size(), 99u);
    for (size_t f = 0; f < 99; ++f) {
      const bool lost = f == 0 || f == 23 || f == 98;
      const bool done = merged[f] && !lost;
      ASSERT_EQ(progress.done[f] != 0, done);
      for (size_t k = 0; k < 3; ++k) {
        ASSERT_EQ((*masks)->result().integers()[k * 99 + f],
                  done ? final.masks.integers()[k * 99 + f] : 0);
      }
    }
  };
  ASSERT_TRUE(reader.Run(reductions, options).ok());
  EXPECT_GT(calls, 9);
}

TEST_F(ReaderTest, StopsWhenAskedAndKeepsWhatIsDone) {
  Write(ElementType::kUint16);
  const Reader reader = Open(Backend::kDirect);
  const AllResults final = RunAll(reader, Masks(), Options(1));
  for (const int threads : {1, 4}) {
    auto masks = MaskReduction::Create(Masks());
    ASSERT_TRUE(masks.ok());
    Reduction* const reductions[] = {masks->get()};
    std::stop_source stop;
    PassOptions options = Options(threads);
    options.stop = stop.get_token();
    std::vector<uint8_t> done;
    options.on_partition = [&](const PassProgress& progress) {
      done.assign(progress.done.begin(), progress.done.end());
      if (progress.partitions_done == 3) stop.request_stop();
    };
    const auto summary = reader.Run(reductions, options);
    ASSERT_FALSE(summary.ok());
    EXPECT_EQ(summary.error().kind(), ErrorKind::kCancelled);
    const auto finished = std::count(done.begin(), done.end(), 1);
    EXPECT_GT(finished, 0);
    EXPECT_LT(finished, 96);
    for (size_t f = 0; f < 99; ++f) {
      EXPECT_EQ((*masks)->result().integers()[f], done[f] != 0 ? final.masks.integers()[f] : 0);
    }
  }
}

TEST_F(ReaderTest, DamagedBlocksAreNamed) {
  Write(ElementType::kUint16);
  const std::filesystem::path block = BlockPath(2);
  for (const Backend backend : kBackends) {
    SCOPED_TRACE(BackendName(backend));
    const Reader reader = Open(backend);
    CoverageReduction coverage;
    Reduction* const reductions[] = {&coverage};

    const auto size = std::filesystem::file_size(block);
    std::filesystem::permissions(block, std::filesystem::perms::owner_all);
    std::filesystem::copy_file(block, directory_ / "kept");
    std::filesystem::resize_file(block, size / 2);
    auto summary = reader.Run(reductions, Options(2));
    ASSERT_FALSE(summary.ok());
    EXPECT_EQ(summary.error().kind(), ErrorKind::kCorrupt);
    EXPECT_EQ(summary.error().file(), block.string());
    EXPECT_EQ(summary.error().expected(), std::to_string(size) + " bytes");
    EXPECT_EQ(summary.error().found(), std::to_string(size / 2) + " bytes");

    std::filesystem::remove(block);
    summary = reader.Run(reductions, Options(2));
    ASSERT_FALSE(summary.ok());
    EXPECT_EQ(summary.error().kind(), ErrorKind::kNotFound);
    EXPECT_EQ(summary.error().file(), block.string());

    std::filesystem::create_directory(block);  // can be opened, can't be read
    summary = reader.Run(reductions, Options(2));
    ASSERT_FALSE(summary.ok());
    EXPECT_EQ(summary.error().file(), block.string());
    std::filesystem::remove(block);

    std::filesystem::rename(directory_ / "kept", block);
    EXPECT_TRUE(reader.Run(reductions, Options(2)).ok());
  }
}

TEST_F(ReaderTest, OneFrame) {
  Write(ElementType::kFloat32);
  const auto frames = ExpectedFrames<float>();
  for (const Backend backend : kBackends) {
    const Reader reader = Open(backend);
    for (const int64_t n : {1, 21, 22, 97}) {
      const auto bytes = reader.ReadFrame(n);
      ASSERT_TRUE(bytes.ok()) << bytes.error().ToString();
      EXPECT_EQ(std::memcmp(bytes->data(), frames[static_cast<size_t>(n)].data(), bytes->size()),
                0);
    }
    EXPECT_EQ(reader.ReadFrame(23).error().kind(), ErrorKind::kNotFound);
    EXPECT_EQ(reader.ReadFrame(99).error().kind(), ErrorKind::kInvalidArgument);
    EXPECT_EQ(reader.ReadFrame(-1).error().kind(), ErrorKind::kInvalidArgument);
  }
}

TEST_F(ReaderTest, MissingDatasetAndUnknownBackEnd) {
  EXPECT_EQ(Reader::Open(directory_ / "nowhere").error().kind(), ErrorKind::kNotFound);
  EXPECT_FALSE(ParseBackend("tape").ok());
  for (const Backend backend : kBackends) EXPECT_EQ(*ParseBackend(BackendName(backend)), backend);
}

TEST_F(ReaderTest, SeriesHaveOneNavigationAxis) {
  options_.shape = {{1, 40, true}, {16, 16}, ElementType::kUint8};
  options_.block_bytes = 16 * options_.shape.frame_bytes();
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options_).ok());
  const AllResults results = RunAll(Open(Backend::kMmap), Masks(), Options(2));
  EXPECT_EQ(results.masks.shape, (std::vector<int64_t>{3, 40}));
  EXPECT_EQ(results.rows.shape, (std::vector<int64_t>{40}));
}

}  // namespace
}  // namespace penstock
