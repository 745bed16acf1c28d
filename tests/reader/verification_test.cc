// Verification at first touch: a flipped byte is an error that names file, extent and frames.

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr Backend kBackends[] = {Backend::kAutomatic, Backend::kMmap, Backend::kDirect,
                                 Backend::kPread};

// Three blocks of 50 frames of 300 x 401 bytes: frames, partitions and extents have no boundary in
// common. Two extents per block, and the second one reaches into the index.
class VerificationTest : public testing::Test {
 protected:
  VerificationTest()
      : directory_(fs::temp_directory_path() / ("verification-" + std::to_string(getpid()))) {
    fs::remove_all(directory_);
    options_.shape = {{15, 10, false}, {300, 401}, ElementType::kUint8};
    options_.block_bytes = 50 * options_.shape.frame_bytes();
    const Status written = testing_support::WriteSyntheticDataset(directory_, options_);
    EXPECT_TRUE(written.ok());
  }
  ~VerificationTest() override { fs::remove_all(directory_); }

  Reader Open(Backend backend, bool verify = true) const {
    ReadOptions options;
    options.backend = backend;
    options.verify = verify;
    options.buffer_bytes = 3 * options_.shape.frame_bytes();
    auto reader = Reader::Open(directory_, options);
    EXPECT_TRUE(reader.ok());
    return std::move(reader).value();
  }

  static Result<PassSummary> Run(const Reader& reader, int threads, uint64_t partition_bytes) {
    SumReduction sum;
    Reduction* const reductions[] = {&sum};
    PassOptions options;
    options.threads = threads;
    options.partition_bytes = partition_bytes;
    return reader.Run(reductions, options);
  }

  fs::path BlockPath(size_t block) const {
    return directory_ / Dataset::Open(directory_)->blocks()[block].relative_path;
  }

  static void Flip(const fs::path& path, uint64_t offset) {
    fs::permissions(path, fs::perms::owner_all);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 4));
  }

  const fs::path directory_;
  testing_support::SyntheticOptions options_;
};

TEST_F(VerificationTest, EachExtentOnceWhateverThePartitions) {
  for (const Backend backend : kBackends) {
    for (const uint64_t partition : {uint64_t{1}, uint64_t{1'000'000}, uint64_t{64} << 20}) {
      SCOPED_TRACE(std::string(BackendName(backend)) + " " + std::to_string(partition));
      const Reader reader = Open(backend);
      auto first = Run(reader, 1, partition);
      ASSERT_TRUE(first.ok()) << first.error().ToString();
      EXPECT_EQ(first->extents_verified, 6);
      EXPECT_EQ(Run(reader, 2, partition)->extents_verified, 0);
      EXPECT_EQ(Run(Open(backend), 3, partition)->extents_verified, 6);
      EXPECT_EQ(Run(Open(backend, false), 1, partition)->extents_verified, 0);
    }
  }
}

TEST_F(VerificationTest, AFlippedByteIsFound) {
  const uint64_t frame = options_.shape.frame_bytes();
  const fs::path path = BlockPath(1);
  const uint64_t size = fs::file_size(path);
  struct Case {
    uint64_t offset;
    std::string place;
  };
  // The head, the first pixel, around the boundary of the extents, the last pixel, the index.
  const Case cases[] = {{100, "extent 0 (offset 0), frames 50-84"},
                        {kPayloadStart, "extent 0 (offset 0), frames 50-84"},
                        {kExtentBytes - 1, "extent 0 (offset 0), frames 50-84"},
                        {kExtentBytes, "extent 1 (offset 4194304), frames 84-99"},
                        {kPayloadStart + 50 * frame - 1, "extent 1 (offset 4194304), frames 84-99"},
                        {size - 2, "extent 1 (offset 4194304), frames 84-99"}};
  for (const auto& [offset, place] : cases) {
    Flip(path, offset);
    for (const Backend backend : kBackends) {
      for (const uint64_t partition : {uint64_t{1}, uint64_t{1'000'000}, uint64_t{64} << 20}) {
        SCOPED_TRACE(std::string(BackendName(backend)) + " " + std::to_string(offset));
        const Reader reader = Open(backend);
        const auto summary = Run(reader, 2, partition);
        ASSERT_FALSE(summary.ok());
        EXPECT_EQ(summary.error().kind(), ErrorKind::kCorrupt);
        EXPECT_EQ(summary.error().file(), path.string());
        EXPECT_THAT(summary.error().ToString(), HasSubstr(place));
        EXPECT_FALSE(Run(reader, 1, partition).ok());  // and not taken for verified
      }
    }
    EXPECT_TRUE(Run(Open(Backend::kPread, false), 1, 1).ok());
    Flip(path, offset);
  }
  EXPECT_TRUE(Run(Open(Backend::kPread), 1, 1).ok());
}

// The rest of an extent comes in chunks of which several fit into what is left of it.
TEST_F(VerificationTest, TheRestOfAnExtentIsReadAlong) {
  const uint64_t frame = options_.shape.frame_bytes();
  for (const Backend backend : {Backend::kDirect, Backend::kPread}) {
    ReadOptions read;
    read.backend = backend;
    read.buffer_bytes = 2 * frame;
    read.request_bytes = 8192;
    std::vector<std::byte> expected;
    {
      const auto reader = Reader::Open(directory_, read);
      ASSERT_TRUE(reader.ok());
      const auto summary = Run(*reader, 1, 3 * frame);
      ASSERT_TRUE(summary.ok()) << summary.error().ToString();
      EXPECT_EQ(summary->extents_verified, 6);
      expected = reader->ReadFrame(51).value();
    }
    // Behind the frame that is asked for, and of the same extent.
    Flip(BlockPath(1), kPayloadStart + 20 * frame);
    const auto reader = Reader::Open(directory_, read);
    ASSERT_TRUE(reader.ok());
    EXPECT_FALSE(reader->ReadFrame(51).ok());
    Flip(BlockPath(1), kPayloadStart + 20 * frame);
    EXPECT_EQ(reader->ReadFrame(51).value(), expected);
  }
}

// Partitions that end with extents: every frame once, every extent once, and no partition has more
// frames than was said.
TEST_F(VerificationTest, LargePartitions) {
  fs::remove_all(directory_);
  options_.shape = {{40, 10, false}, {300, 401}, ElementType::kUint8};
  options_.block_bytes = 390 * options_.shape.frame_bytes();
  ASSERT_TRUE(testing_support::WriteSyntheticDataset(directory_, options_).ok());
  const SignalShape signal = options_.shape.signal;
  const auto frame_sums = [&](const Reader& reader, uint64_t partition_bytes) {
    auto masks = MaskReduction::Create({FullMask(signal)});
    EXPECT_TRUE(masks.ok());
    Reduction* const reductions[] = {masks->get()};
    PassOptions options;
    options.threads = 2;
    options.partition_bytes = partition_bytes;
    const auto summary = reader.Run(reductions, options);
    EXPECT_TRUE(summary.ok()) << summary.error().ToString();
    EXPECT_EQ(summary->frames, 400);
    EXPECT_EQ(summary->extents_verified, 13);
    return (*masks)->result().values;
  };
  const auto expected = frame_sums(Open(Backend::kPread), 1);
  for (const Backend backend : kBackends) {
    // The last partition of a block gets what others gave.
    for (const uint64_t frames : {280, 300, 373, 390}) {
      EXPECT_EQ(frame_sums(Open(backend), frames * options_.shape.frame_bytes()), expected);
    }
  }
}

TEST_F(VerificationTest, NothingDamagedIsEverMerged) {
  Flip(BlockPath(1), kExtentBytes - 1);
  PassOptions options;
  options.threads = 3;
  options.partition_bytes = 1;
  int64_t merged = 0;
  options.on_partition = [&merged](const PassProgress& now) { merged = now.frames_done; };
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  const Reader reader = Open(Backend::kDirect);
  EXPECT_FALSE(reader.Run(reductions, options).ok());
  EXPECT_LE(merged, 50);  // the first frame of the damaged extent
}

TEST_F(VerificationTest, SingleFrames) {
  Flip(BlockPath(1), kExtentBytes - 1);
  const Reader reader = Open(Backend::kAutomatic);
  EXPECT_TRUE(reader.ReadFrame(49).ok());
  for (const int64_t frame : {50, 70, 84}) {  // 84 lies in both extents
    const auto pixels = reader.ReadFrame(frame);
    ASSERT_FALSE(pixels.ok());
    EXPECT_THAT(pixels.error().ToString(), HasSubstr("extent 0"));
  }
  EXPECT_TRUE(reader.ReadFrame(85).ok());
  EXPECT_TRUE(reader.ReadFrame(99).ok());
}

// Cuts a file short when it has seen some frames.
class CuttingReduction final : public Reduction {
 public:
  CuttingReduction(fs::path path, uint64_t bytes, int64_t at_frame)
      : path_(std::move(path)), bytes_(bytes), at_frame_(at_frame) {}
  Status Begin(const PassPlan& /*plan*/) override { return {}; }
  std::unique_ptr<State> MakeState() const override { return std::make_unique<State>(); }
  void BeginPartition(State& /*state*/, const Partition& /*partition*/) const override {}
  void Process(State& /*state*/, const Tile& tile) const override {
    if (tile.first_frame >= at_frame_ && fs::file_size(path_) > bytes_) {
      fs::resize_file(path_, bytes_);
    }
  }
  void Merge(State& /*state*/, const Partition& /*partition*/) override {}

 private:
  const fs::path path_;
  const uint64_t bytes_;
  const int64_t at_frame_;
};

TEST_F(VerificationTest, ABlockThatIsCutShortWhileItIsMappedIsAnError) {
  // By pages, and inside of the last page that is read, which is lost without a signal.
  for (const bool verify : {true, false}) {
    for (const uint64_t bytes : {uint64_t{1'500'000}, kPayloadStart + 24 * 300 * 401 - 20}) {
      fs::remove_all(directory_);
      ASSERT_TRUE(testing_support::WriteSyntheticDataset(directory_, options_).ok());
      const Reader reader = Open(Backend::kMmap, verify);
      fs::permissions(BlockPath(1), fs::perms::owner_all);
      CuttingReduction cutting(BlockPath(1), bytes, 50);
      SumReduction sum;
      Reduction* const reductions[] = {&cutting, &sum};
      PassOptions options;
      options.threads = 1;
      options.partition_bytes = 30 * options_.shape.frame_bytes();
      const auto result = reader.Run(reductions, options);
      ASSERT_FALSE(result.ok()) << bytes;
      EXPECT_THAT(result.error().file(), HasSubstr("data.zarr/real/c/"));
      EXPECT_EQ(result.error().kind(), ErrorKind::kCorrupt) << result.error().ToString();
      if (!verify) {
        EXPECT_THAT(result.error().ToString(), HasSubstr("cut short"));
        EXPECT_THAT(result.error().place(), HasSubstr("offset"));
      }
    }
  }
}

}  // namespace
}  // namespace penstock
