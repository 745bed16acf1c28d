#include "penstock/dataset/verify.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "penstock/base/file.h"
#include "penstock/dataset/dataset.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing_support::SyntheticOptions;
using testing_support::WriteSyntheticDataset;

class VerifyTest : public testing::Test {
 protected:
  // Two blocks: 20 frames of 512 KiB (3 extents) and 10 frames (2 extents).
  void SetUp() override {
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    directory_ = std::filesystem::path(has_memory ? "/dev/shm" : testing::TempDir()) /
                 ("penstock_verify_" + std::to_string(getpid()));
    std::filesystem::remove_all(directory_);
    options_.shape = {.scan = {.rows = 3, .columns = 10},
                      .signal = {.rows = 512, .columns = 512},
                      .element_type = ElementType::kUint16};
    options_.block_bytes = 20 * options_.shape.frame_bytes();
    options_.missing = {3};
    ASSERT_TRUE(WriteSyntheticDataset(directory_, options_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  VerifyReport Verify(int threads = 2) {
    SilentProgress progress;
    auto report = VerifyDataset(directory_, threads, progress, {});
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : VerifyReport{};
  }

  // Flips one bit; a second call takes it back.
  void Flip(const std::string& file, uint64_t offset) {
    const std::filesystem::path path = directory_ / file;
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    auto fd = OpenFile(path, O_RDWR);
    ASSERT_TRUE(fd.ok());
    std::byte byte{};
    ASSERT_TRUE(ReadFully(fd->get(), offset, {&byte, 1}, path).ok());
    byte ^= std::byte{0x10};
    ASSERT_TRUE(WriteFully(fd->get(), offset, {&byte, 1}, path).ok());
  }

  std::filesystem::path directory_;
  SyntheticOptions options_;
};

constexpr char kBlock0[] = "data.zarr/real/c/0/0/0/0";
constexpr char kBlock1[] = "data.zarr/real/c/1/0/0/0";

TEST_F(VerifyTest, AnIntactDataset) {
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.damage.empty()) << report.damage[0].file << report.damage[0].message;
  uint64_t bytes = 0;
  int64_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
    if (!entry.is_regular_file() || entry.path().filename() == "checksums.xxh128") continue;
    bytes += entry.file_size();
    ++files;
  }
  EXPECT_EQ(report.bytes_checked, bytes);
  EXPECT_EQ(report.files_checked, files);
}

TEST_F(VerifyTest, AFlippedBitAnywhereInABlockIsNamed) {
  const auto dataset = Dataset::Open(directory_);
  ASSERT_TRUE(dataset.ok());
  const BlockLayout layout = dataset->LayoutOfBlock(0);
  const uint64_t frame_bytes = options_.shape.frame_bytes();
  struct Case {
    uint64_t offset;
    int64_t extent;
    FrameRange frames;
  };
  for (const Case& c :
       {Case{0, 0, {0, 8}},                                       // superblock
        Case{40000, 0, {0, 8}},                                   // unused part of the head
        Case{kPayloadStart, 0, {0, 8}},                           // first pixel
        Case{kPayloadStart + 3 * frame_bytes + 5, 0, {0, 8}},     // the missing frame's hole
        Case{kExtentBytes - 1, 0, {0, 8}},                        // last byte of an extent
        Case{kExtentBytes, 1, {7, 16}},                           // first byte of the next
        Case{kPayloadStart + 20 * frame_bytes - 1, 2, {15, 20}},  // last pixel
        Case{layout.index_start, 2, {15, 20}},                    // shard index
        Case{layout.file_bytes - 1, 2, {15, 20}}}) {              // its checksum
    Flip(kBlock0, c.offset);
    const VerifyReport report = Verify();
    ASSERT_EQ(report.damage.size(), 1U) << c.offset;
    EXPECT_EQ(report.damage[0].file, kBlock0);
    EXPECT_EQ(report.damage[0].extent, c.extent) << c.offset;
    EXPECT_EQ(report.damage[0].frames, c.frames) << c.offset;
    EXPECT_NE(report.damage[0].message.find("expected XXH3-64 "), std::string::npos);
    EXPECT_NE(report.damage[0].message.find("found "), std::string::npos);
    Flip(kBlock0, c.offset);
  }
  EXPECT_TRUE(Verify().damage.empty());
}

// The padding between payload and index exists where the payload does not end on a page.
TEST_F(VerifyTest, AFlippedBitInThePaddingIsFound) {
  std::filesystem::remove_all(directory_);
  SyntheticOptions options;  // 30 frames of 384 bytes
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  for (const uint64_t offset : {kPayloadStart + 30 * 384, kPayloadStart + 12287}) {
    Flip(kBlock0, offset);
    const VerifyReport report = Verify();
    ASSERT_EQ(report.damage.size(), 1U);
    EXPECT_EQ(report.damage[0].extent, 0);
    EXPECT_EQ(report.damage[0].frames, (FrameRange{0, 30}));
    Flip(kBlock0, offset);
  }
}

TEST_F(VerifyTest, SeveralDamagesInOrder) {
  Flip(kBlock1, 100);
  Flip(kBlock0, kExtentBytes + 7);
  Flip(kBlock0, 2 * kExtentBytes + 7);
  const VerifyReport report = Verify();
  ASSERT_EQ(report.damage.size(), 3U);
  EXPECT_EQ(report.damage[0].extent, 1);
  EXPECT_EQ(report.damage[1].extent, 2);
  EXPECT_EQ(report.damage[2].file, kBlock1);
  EXPECT_EQ(report.damage[2].frames, (FrameRange{20, 28}));
}

TEST_F(VerifyTest, EveryOtherFileToo) {
  for (const char* file : {"nexus.json", "data.nxs", "data.zarr/zarr.json",
                           "data.zarr/image_key/c/0/0", "data.zarr/statistics/frame/sum/c/0/0"}) {
    Flip(file, 20);
    const VerifyReport report = Verify();
    ASSERT_FALSE(report.damage.empty()) << file;
    for (const Damage& damage : report.damage) EXPECT_EQ(damage.file, file) << damage.message;
    Flip(file, 20);
  }
}

TEST_F(VerifyTest, ADamagedExtentArrayIsNotBlamedOnTheBlock) {
  const std::string array = "data.zarr/extent_checksum/c/0/0";
  Flip(array, 8);  // block 0, extent 1
  const VerifyReport report = Verify();
  ASSERT_EQ(report.damage.size(), 2U);
  for (const Damage& damage : report.damage) EXPECT_EQ(damage.file, array);
  EXPECT_NE(report.damage[0].message.find("block is not") == std::string::npos,
            report.damage[1].message.find("block is not") == std::string::npos);
}

TEST_F(VerifyTest, MissingUnlistedAndTruncatedFiles) {
  std::filesystem::remove(directory_ / "data.zarr/image_key/zarr.json");
  std::filesystem::remove(directory_ / kBlock1);
  ASSERT_TRUE(WriteNewFile(directory_ / "data.zarr/real/c/9.part", "left over").ok());
  ASSERT_EQ(mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  ASSERT_EQ(chmod((directory_ / kBlock0).c_str(), 0644), 0);
  std::filesystem::resize_file(directory_ / kBlock0, 2 * kExtentBytes + 1000);
  const VerifyReport report = Verify();
  std::map<std::string, std::vector<std::string>> messages;
  for (const Damage& damage : report.damage) messages[damage.file].push_back(damage.message);
  EXPECT_EQ(messages["data.zarr/image_key/zarr.json"],
            std::vector<std::string>{"the file is missing"});
  EXPECT_EQ(messages[kBlock1], std::vector<std::string>{"the file is missing"});
  EXPECT_EQ(messages["data.zarr/real/c/9.part"],
            std::vector<std::string>{"the file is not listed in checksums.xxh128"});
  EXPECT_EQ(messages["pipe"], std::vector<std::string>{"this is not a regular file"});
  ASSERT_EQ(messages[kBlock0].size(), 2U);
  EXPECT_NE(messages[kBlock0][0].find("wrong size"), std::string::npos);
  EXPECT_NE(messages[kBlock0][1].find("damaged"), std::string::npos);
  EXPECT_EQ(report.damage.size(), 6U);
}

TEST_F(VerifyTest, ALostOrHostileListIsDamage) {
  std::filesystem::remove(directory_ / "checksums.xxh128");
  VerifyReport report = Verify();
  ASSERT_EQ(report.damage.size(), 1U);
  EXPECT_EQ(report.damage[0].file, "checksums.xxh128");
  Flip(kBlock0, 5);  // blocks are still checked, by nexus.json
  EXPECT_EQ(Verify().damage.size(), 2U);
  for (const char* text :
       {"no list at all\n", "00112233445566778899aabbccddeeff  ./../../etc/passwd\n",
        "00112233445566778899aabbccddeeff  /etc/passwd\n", "00112233445566778899aabbccddeeff  \n",
        "00112233445566778899aabbccddeeff  ./a"}) {
    ASSERT_TRUE(WriteNewFile(directory_ / "checksums.xxh128", text).ok());
    report = Verify();
    ASSERT_EQ(report.damage.size(), 2U) << text;
    EXPECT_EQ(report.damage[0].file, "checksums.xxh128");
    EXPECT_NE(report.damage[0].message.find("line 1"), std::string::npos);
  }
}

TEST_F(VerifyTest, NoDirectoryIsAnError) {
  SilentProgress progress;
  const auto report = VerifyDataset(directory_ / "nowhere", 1, progress, {});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind(), ErrorKind::kNotFound);
}

class StopAfterOneExtent final : public ProgressSink {
 public:
  void Begin(std::string_view, uint64_t total) override { total_ = total; }
  void Advance(uint64_t bytes) override {
    done_ += bytes;
    source.request_stop();
  }
  void Note(std::string_view) override {}
  void End() override {}
  std::stop_source source;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_ = 0;
};

TEST_F(VerifyTest, CanBeCancelled) {
  StopAfterOneExtent progress;
  const auto report = VerifyDataset(directory_, 1, progress, progress.source.get_token());
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind(), ErrorKind::kCancelled);
  EXPECT_LT(progress.done_, progress.total_);
}

}  // namespace
}  // namespace penstock
