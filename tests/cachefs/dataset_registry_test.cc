// The registry over a directory with a synthetic dataset.

#include "cachefs/cache/dataset_registry.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "penstock/dataset/checksum.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock::cachefs {
namespace {

class DatasetRegistryTest : public testing::Test {
 protected:
  DatasetRegistryTest() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-registry-XXXXXX";
    root_ = mkdtemp(name.data());
    std::filesystem::create_directories(root_ / "store/proposal");
    std::filesystem::create_directories(root_ / "sidecars");
    registry_.emplace(MakeDirectoryUpstream(root_ / "store"), root_ / "sidecars");
  }
  ~DatasetRegistryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, uint64_t block_bytes) {
    testing_support::SyntheticOptions options;
    options.block_bytes = block_bytes;
    const Status written = testing_support::WriteSyntheticDataset(root_ / "store" / name, options);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
  }

  std::filesystem::path root_;
  std::optional<DatasetRegistry> registry_;
};

TEST_F(DatasetRegistryTest, KnowsTheBlocksAndTheirChecksums) {
  Write("proposal/scan", 5000);
  const auto view = registry_->Get("proposal/scan");
  ASSERT_TRUE(view.ok()) << view.error().ToString();
  ASSERT_EQ((*view)->blocks.size(), 3U);  // 5 rows, 2 rows in a block
  for (const auto& block : (*view)->blocks) {
    const std::filesystem::path file = root_ / "store" / block->path;
    EXPECT_EQ(std::filesystem::file_size(file), block->file_bytes);
    const auto bytes = ReadWholeFile(file, 1 << 20);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(block->extent_checksum, std::vector<uint64_t>{HashExtent(AsBytes(*bytes))});
    const auto found = registry_->BlockAt(block->path);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(*found, block);
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_ / "sidecars"));
}

TEST_F(DatasetRegistryTest, OtherPathsAreNoBlocks) {
  Write("proposal/scan", 5000);
  for (const char* const path :
       {"proposal/scan/nexus.json", "proposal/scan/data.zarr/real/zarr.json",
        "proposal/scan/data.zarr/real/c/9/9/9/9", "elsewhere/data.zarr/real/c/0/0/0/0", ""}) {
    const auto block = registry_->BlockAt(path);
    ASSERT_TRUE(block.ok()) << path;
    EXPECT_EQ(*block, nullptr) << path;
  }
}

TEST_F(DatasetRegistryTest, DamagedSidecarIsAnError) {
  Write("proposal/scan", 5000);
  std::ofstream(root_ / "store/proposal/scan/nexus.json") << "{\"half\": ";
  const auto block = registry_->BlockAt("proposal/scan/data.zarr/real/c/0/0/0/0");
  EXPECT_FALSE(block.ok());
}

TEST_F(DatasetRegistryTest, StoreThatIsGoneIsNotADatasetThatIsNotThere) {
  Write("proposal/scan", 5000);
  std::filesystem::rename(root_ / "store", root_ / "away");
  const auto gone = registry_->Get("proposal/scan");
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().kind(), ErrorKind::kIo);
  std::filesystem::rename(root_ / "away", root_ / "store");
  EXPECT_TRUE(registry_->Get("proposal/scan").ok());
  const auto missing = registry_->Get("proposal/other");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind(), ErrorKind::kNotFound);
}

TEST_F(DatasetRegistryTest, DatasetWrittenAnewHasAnotherGeneration) {
  Write("proposal/scan", 5000);
  const auto before = registry_->Get("proposal/scan");
  ASSERT_TRUE(before.ok());
  std::string replaced;
  registry_->OnReplaced([&](const DatasetView& previous) { replaced = previous.generation; });
  std::filesystem::remove_all(root_ / "store/proposal/scan");
  Write("proposal/scan", 9000);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // what is believed
  const auto after = registry_->Get("proposal/scan");
  ASSERT_TRUE(after.ok());
  EXPECT_NE((*after)->generation, (*before)->generation);
  EXPECT_EQ(replaced, (*before)->generation);
  EXPECT_NE((*after)->blocks[0]->id, (*before)->blocks[0]->id);
}

// A store in which something happens whenever the checksums of a dataset are read.
class BusyStore final : public SimpleUpstream {
 public:
  BusyStore(std::shared_ptr<Upstream> store, std::function<void()> happens)
      : store_(std::move(store)), happens_(std::move(happens)) {}

  Result<struct stat> Stat(const std::string& path) override { return store_->Stat(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    if (path.ends_with("extent_checksum")) happens_();
    return store_->List(path);
  }
  Result<std::string> ReadLink(const std::string& path) override { return store_->ReadLink(path); }
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    return store_->Read(path, offset, destination);
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    return store_->Open(path);
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    return store_->ReadUnchanged(path, identity, offset, destination);
  }
  Result<UpstreamSpace> Space() override { return store_->Space(); }
  std::string Name() const override { return store_->Name(); }

 private:
  const std::shared_ptr<Upstream> store_;
  const std::function<void()> happens_;
};

TEST_F(DatasetRegistryTest, DatasetThatIsReplacedWhileItIsReadIsReadAnew) {
  Write("scan", 5000);
  Write("next", 9000);
  int replaced = 0;
  int times = 1;
  const auto replace = [&] {
    if (replaced++ >= times) return;
    std::filesystem::rename(root_ / "store/scan", root_ / "store/old");
    std::filesystem::rename(root_ / "store/next", root_ / "store/scan");
    std::filesystem::rename(root_ / "store/old", root_ / "store/next");
  };
  registry_.emplace(std::make_shared<BusyStore>(MakeDirectoryUpstream(root_ / "store"), replace),
                    root_ / "sidecars");
  const auto view = registry_->Get("scan");
  ASSERT_TRUE(view.ok()) << view.error().ToString();
  EXPECT_EQ((*view)->blocks.size(), 2U);  // 4 rows in a block
  // Not for ever: who waits gets an error that says why.
  replaced = 0;
  times = 1 << 30;
  const auto never = registry_->Get("next", true);
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().kind(), ErrorKind::kBusy);
}

TEST(DirectoryUpstream, DoesNotLeaveTheStore) {
  std::string name = std::filesystem::temp_directory_path() / "penstock-upstream-XXXXXX";
  const std::filesystem::path root = mkdtemp(name.data());
  std::filesystem::create_directories(root / "store/real");
  std::ofstream(root / "secret") << "secret";
  std::filesystem::create_symlink("..", root / "store/up");
  std::filesystem::create_symlink("../secret", root / "store/link");
  const auto upstream = MakeDirectoryUpstream(root / "store");
  std::byte byte{};
  for (const char* const path : {"../secret", "up/secret", "link", "real/../../secret"}) {
    EXPECT_FALSE(upstream->Read(path, 0, {&byte, 1}).ok()) << path;
  }
  const auto link = upstream->Stat("link");
  ASSERT_TRUE(link.ok()) << link.error().ToString();
  EXPECT_TRUE(S_ISLNK(link->st_mode));
  EXPECT_EQ(*upstream->ReadLink("link"), "../secret");
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace penstock::cachefs
