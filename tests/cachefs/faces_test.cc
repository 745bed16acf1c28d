// Faces over a directory with a synthetic dataset: what there is, what the header is made of, and
// how reads are put together.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/faces/face_catalog.h"
#include "cachefs/faces/face_header.h"
#include "cachefs/faces/open_face.h"
#include "penstock/base/npy.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock::cachefs {
namespace {

using testing_support::SyntheticOptions;
using Bytes = std::vector<std::byte>;

class FacesTest : public testing::Test {
 protected:
  FacesTest() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-faces-XXXXXX";
    root_ = mkdtemp(name.data());
    std::filesystem::create_directories(root_ / "store");
    std::filesystem::create_directories(root_ / "sidecars");
    upstream_ = MakeDirectoryUpstream(root_ / "store");
    registry_.emplace(upstream_, root_ / "sidecars");
    catalog_.emplace(upstream_);
    headers_.emplace(upstream_);
    auto directory = CacheDirectory::Open(root_ / "cache");
    EXPECT_TRUE(directory.ok());
    directory_.emplace(std::move(directory).value());
    auto store = ReplicaStore::Open(directory_->StatePath());
    EXPECT_TRUE(store.ok());
    store_.emplace(std::move(store).value());
    cache_.emplace(*directory_, *store_, upstream_, deadlines_, counters_, BlockCache::Options{});
  }
  ~FacesTest() override {
    EXPECT_TRUE(cache_->Stop(std::chrono::seconds(10)));
    cache_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }

  // Two rows of 6 frames of 384 bytes in a block, the last one in one of its own.
  void Write(const std::string& name, SyntheticOptions options = {}) {
    options.block_bytes = 5000;
    const Status written = testing_support::WriteSyntheticDataset(root_ / "store" / name, options);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    payload_.clear();
    for (int64_t n = 0; n < options.shape.frame_count(); ++n) {
      const Bytes frame = testing_support::SyntheticFrame(options, n);
      payload_.insert(payload_.end(), frame.begin(), frame.end());
    }
  }

  std::shared_ptr<const Face> FaceAt(const std::string& directory, const char* name) {
    const auto shown = catalog_->At(directory, name);
    EXPECT_TRUE(shown.ok());
    return shown.ok() && *shown ? (*shown)->face : nullptr;
  }

  std::unique_ptr<OpenFace> Open(const std::string& directory, const char* name) {
    const auto face = FaceAt(directory, name);
    auto header = headers_->Get(*face);
    EXPECT_TRUE(header.ok()) << header.error().ToString();
    std::shared_ptr<const DatasetView> view;
    if (face->kind != FaceKind::kChecksumList) view = *registry_->Get(directory);
    return std::make_unique<OpenFace>(face, *header, view, *cache_);
  }

  static Result<Bytes> Read(OpenFace& face, uint64_t offset, size_t size) {
    auto promise = std::make_shared<std::promise<Result<Bytes>>>();
    auto future = promise->get_future();
    // A second answer would throw.
    face.Read(offset, size, [promise](const Result<std::span<const std::byte>>& bytes) {
      if (bytes.ok()) {
        promise->set_value(Bytes(bytes->begin(), bytes->end()));
      } else {
        promise->set_value(bytes.error());
      }
    });
    return future.get();
  }

  void Damage(const std::string& path, uint64_t offset) {
    std::filesystem::permissions(root_ / "store" / path, std::filesystem::perms::owner_all);
    std::fstream file(root_ / "store" / path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(~file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file.good());
  }

  std::filesystem::path root_;
  std::shared_ptr<Upstream> upstream_;
  std::optional<DatasetRegistry> registry_;
  std::optional<FaceCatalog> catalog_;
  std::optional<FaceHeaders> headers_;
  DeadlineWatch deadlines_;
  CacheCounters counters_;
  std::optional<CacheDirectory> directory_;
  std::optional<ReplicaStore> store_;
  std::optional<BlockCache> cache_;
  Bytes payload_;
};

TEST_F(FacesTest, ReadsAreTheHeaderAndTheFrames) {
  Write("proposal/scan");
  std::mt19937 random(3);
  for (const char* const name : {"data.nxs", "data.npy", "data.raw"}) {
    const auto face = Open("proposal/scan", name);
    const uint64_t header = face->face().header_bytes;
    Bytes expected = *Read(*face, 0, header);
    ASSERT_EQ(expected.size(), header);
    expected.insert(expected.end(), payload_.begin(), payload_.end());
    ASSERT_EQ(face->face().total_bytes, expected.size());
    for (int i = 0; i < 100; ++i) {
      const uint64_t from_end = random() % 14000;
      const uint64_t offset = expected.size() - std::min<uint64_t>(from_end, expected.size());
      const size_t size = random() % 13000;
      const auto bytes = Read(*face, offset, size);
      ASSERT_TRUE(bytes.ok()) << bytes.error().ToString();
      const auto first = expected.begin() + static_cast<ptrdiff_t>(offset);
      const auto last = expected.begin() +
                        static_cast<ptrdiff_t>(std::min<uint64_t>(expected.size(), offset + size));
      EXPECT_TRUE(*bytes == Bytes(first, last)) << name << " " << offset << " " << size;
    }
    EXPECT_TRUE(Read(*face, expected.size(), 10)->empty());
    EXPECT_TRUE(Read(*face, UINT64_MAX, 10)->empty());
  }
}

TEST_F(FacesTest, ABlockThatCannotBeReadFailsTheReadsThatTouchIt) {
  Write("scan");
  Damage("scan/data.zarr/real/c/1/0/0/0", 65536 + 100);
  const auto face = Open("scan", "data.raw");
  const uint64_t block = 12 * 384;
  EXPECT_TRUE(*Read(*face, 0, block) == Bytes(payload_.begin(), payload_.begin() + block));
  EXPECT_EQ(Read(*face, 0, 2 * block).error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(Read(*face, block - 1, 2).error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(Read(*face, 0, 3 * block).error().kind(), ErrorKind::kCorrupt);
  EXPECT_TRUE(Read(*face, 2 * block, 100).ok());
}

TEST_F(FacesTest, HeaderIsHeldAgainstTheChecksums) {
  for (const char* const path :
       {"data.zarr/image_key/c/0/0", "data.zarr/statistics/frame/sum/c/0/0", "checksums.xxh128"}) {
    Write("scan");
    const auto face = FaceAt("scan", "data.nxs");
    Damage(std::string("scan/") + path, 3);
    const auto header = headers_->Get(*face);
    ASSERT_FALSE(header.ok()) << path;
    EXPECT_EQ(header.error().kind(), ErrorKind::kCorrupt);
    std::filesystem::remove(root_ / "store/scan" / path);
    EXPECT_EQ(headers_->Get(*face).error().kind(), ErrorKind::kCorrupt);
    EXPECT_TRUE(headers_->Get(*FaceAt("scan", "data.npy")).ok());
    std::filesystem::remove_all(root_ / "store/scan");
  }
}

TEST_F(FacesTest, HeaderOfADatasetThatWasReplacedIsStale) {
  Write("scan");
  const auto nexus = FaceAt("scan", "data.nxs");
  const auto list = FaceAt("scan", "checksums.xxh128");
  std::filesystem::remove_all(root_ / "store/scan");
  EXPECT_EQ(headers_->Get(*nexus).error().system_errno(), ESTALE);
  SyntheticOptions other;
  other.calibrated = true;
  Write("scan", other);
  EXPECT_EQ(headers_->Get(*nexus).error().system_errno(), ESTALE);
  EXPECT_EQ(headers_->Get(*list).error().system_errno(), ESTALE);
  const auto now = FaceAt("scan", "data.nxs");
  EXPECT_NE(now->id, nexus->id);
  EXPECT_TRUE(headers_->Get(*now).ok());
}

TEST_F(FacesTest, HeaderIsMadeOnceAndKept) {
  Write("scan");
  const auto face = FaceAt("scan", "data.nxs");
  const auto first = headers_->Get(*face);
  ASSERT_TRUE(first.ok());
  EXPECT_LT((*first)->memory_bytes(), 256U << 10);  // of a MiB
  EXPECT_EQ(*first, *headers_->Get(*face));
  // Also where the store has gone meanwhile.
  std::filesystem::rename(root_ / "store", root_ / "away");
  EXPECT_EQ(*first, *headers_->Get(*face));
}

TEST_F(FacesTest, HeadersTakeBoundedMemory) {
  Write("one");
  Write("other");
  FaceHeaders headers(upstream_, {.kept_bytes = 1, .most_bytes = 1});
  const auto one = FaceAt("one", "data.nxs");
  const auto other = FaceAt("other", "data.nxs");
  auto held = headers.Get(*one);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(headers.Get(*other).error().kind(), ErrorKind::kNoSpace);
  EXPECT_EQ(*headers.Get(*one), *held);  // no other one

  FaceHeaders keeping_the_latest(upstream_, {.kept_bytes = 1, .most_bytes = 1 << 30});
  std::weak_ptr<const FaceHeader> first = *keeping_the_latest.Get(*one);
  EXPECT_FALSE(first.expired());
  ASSERT_TRUE(keeping_the_latest.Get(*other).ok());
  EXPECT_TRUE(first.expired());
}

TEST_F(FacesTest, ListOfChecksumsIsWithoutTheFileThatIsAnother) {
  Write("scan");
  const auto face = Open("scan", "checksums.xxh128");
  const auto bytes = Read(*face, 0, 1 << 20);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size(), face->face().total_bytes);
  const std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const auto shown = ParseChecksumList(text, "shown");
  ASSERT_TRUE(shown.ok());
  auto original = ReadWholeFile(root_ / "store/scan/checksums.xxh128", 1 << 20);
  ChecksumList expected = *ParseChecksumList(*original, "original");
  EXPECT_EQ(expected.erase("data.nxs"), 1U);
  EXPECT_EQ(*shown, expected);
}

TEST_F(FacesTest, WhatHasNoFaces) {
  Write("scan");
  std::filesystem::create_directories(root_ / "store/folder");
  std::filesystem::create_directories(root_ / "store/damaged");
  std::ofstream(root_ / "store/damaged/nexus.json") << "{\"half\": ";
  for (const char* const directory : {"", "folder", "damaged", "scan/data.zarr", "nothing"}) {
    EXPECT_EQ(FaceAt(directory, "data.nxs"), nullptr) << directory;
  }
  EXPECT_EQ(FaceAt("scan", "nexus.json"), nullptr);
  // A growing dataset has its own data.nxs.
  auto sidecar = ReadWholeFile(root_ / "store/scan/nexus.json", 1 << 20);
  const size_t state = sidecar->find("\"sealed\"");
  ASSERT_NE(state, std::string::npos);
  sidecar->replace(state, 8, "\"growing\"");
  std::filesystem::remove(root_ / "store/scan/nexus.json");
  std::ofstream(root_ / "store/scan/nexus.json") << *sidecar;
  EXPECT_EQ(FaceAt("scan", "data.nxs"), nullptr);
  EXPECT_EQ(FaceAt("scan", "checksums.xxh128"), nullptr);
  std::vector<DirectoryEntry> entries = *upstream_->List("scan");
  const size_t before = entries.size();
  catalog_->AddTo("scan", entries);
  EXPECT_EQ(entries.size(), before);
  // A store that is gone is not a directory without faces.
  std::filesystem::rename(root_ / "store", root_ / "away");
  EXPECT_FALSE(catalog_->At("scan", "data.raw").ok());
}

TEST_F(FacesTest, ReplicasAreKeptForWhoHasTheFaceOpen) {
  Write("scan");
  const auto view = *registry_->Get("scan");
  auto face = Open("scan", "data.raw");
  ASSERT_TRUE(Read(*face, 0, 100).ok());
  std::promise<void> complete;
  cache_->WhenComplete(cache_->Pin(view->blocks[0]), std::chrono::seconds(20),
                       [&](const Status& status) {
                         EXPECT_TRUE(status.ok());
                         complete.set_value();
                       });
  complete.get_future().get();
  face->KeepReplicas();
  std::filesystem::remove_all(root_ / "store/scan");
  EXPECT_FALSE(cache_->Evict(view->blocks[0]->id));
  EXPECT_TRUE(*Read(*face, 0, 4608) == Bytes(payload_.begin(), payload_.begin() + 4608));
  EXPECT_FALSE(Read(*face, 2 * 4608, 1).ok());  // the next one was fetched ahead
  face.reset();
  EXPECT_EQ(cache_->ResidencyOf(*view->blocks[0]).residency, Residency::kAbsent);
}

}  // namespace
}  // namespace penstock::cachefs
