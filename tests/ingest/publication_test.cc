#include "ingest/pipeline/publication.h"

#include <gtest/gtest.h>

#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

struct Fixture {
  Fixture() : paths(StagingPaths::Of(folder / "scan")) {
    std::filesystem::create_directory(paths.staging);
    folder.Write(".scan.ingest/nexus.json", "new");
  }
  void MakeOld() const {
    std::filesystem::create_directory(paths.destination);
    folder.Write("scan/nexus.json", "old");
  }
  std::string Published() const { return ReadText(paths.destination / "nexus.json"); }
  TemporaryFolder folder;
  StagingPaths paths;
};

TEST(Publication, NamesLieBesideTheDestination) {
  const StagingPaths paths = StagingPaths::Of("/store/scan_1");
  EXPECT_EQ(paths.staging, "/store/.scan_1.ingest");
  EXPECT_EQ(paths.journal, "/store/.scan_1.ingest.journal");
  EXPECT_EQ(paths.parent, "/store");
}

TEST(Publication, TakesAFreeName) {
  const Fixture fixture;
  ASSERT_TRUE(PublishNew(fixture.paths).ok());
  EXPECT_EQ(fixture.Published(), "new");
  EXPECT_FALSE(NameExists(fixture.paths.staging));
}

TEST(Publication, NeverTakesAnExistingName) {
  const Fixture fixture;
  fixture.MakeOld();
  EXPECT_EQ(PublishNew(fixture.paths).error().kind(), ErrorKind::kAlreadyExists);
  EXPECT_EQ(fixture.Published(), "old");
  // Not even that of an empty directory, which a plain rename would replace.
  std::filesystem::remove_all(fixture.paths.destination);
  std::filesystem::create_directory(fixture.paths.destination);
  EXPECT_EQ(PublishNew(fixture.paths).error().kind(), ErrorKind::kAlreadyExists);
}

TEST(Publication, ReplacesByExchange) {
  const Fixture fixture;
  fixture.MakeOld();
  ASSERT_TRUE(PublishInPlaceOf(fixture.paths).ok());
  EXPECT_EQ(fixture.Published(), "new");
  EXPECT_EQ(ReadText(fixture.paths.staging / "nexus.json"), "old");
}

TEST(Publication, ReplacingNothingPublishes) {
  const Fixture fixture;
  ASSERT_TRUE(PublishInPlaceOf(fixture.paths).ok());
  EXPECT_EQ(fixture.Published(), "new");
}

TEST(Publication, AHalfReplacementIsUndone) {
  const Fixture fixture;
  fixture.MakeOld();
  std::filesystem::rename(fixture.paths.destination, fixture.paths.replaced);
  ASSERT_TRUE(UndoHalfReplacement(fixture.paths).ok());
  EXPECT_EQ(fixture.Published(), "old");
  ASSERT_TRUE(UndoHalfReplacement(fixture.paths).ok());
  EXPECT_EQ(fixture.Published(), "old");
}

TEST(Publication, OnlyWholeBlocksAreKeptForResuming) {
  const Fixture fixture;
  const std::filesystem::path& staging = fixture.paths.staging;
  std::filesystem::create_directories(staging / "data.zarr/real/c/0/0/0");
  std::filesystem::create_directories(staging / "data.zarr/real/c/1/0/0");
  std::filesystem::create_directories(staging / "data.zarr/statistics/frame");
  std::filesystem::create_directories(staging / "preview");
  for (const char* name :
       {"data.zarr/real/c/0/0/0/0", "data.zarr/real/c/1/0/0/0.part", "data.zarr/real/zarr.json",
        "data.zarr/statistics/frame/sum", "preview/mean_pattern.png.part.17"}) {
    fixture.folder.Write(std::string(".scan.ingest/") + name, "x");
  }
  ASSERT_TRUE(KeepBlocksOnly(staging).ok());
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(staging)) {
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(staging));
  }
  EXPECT_EQ(files, std::vector<std::string>{"data.zarr/real/c/0/0/0/0"});
  std::filesystem::remove_all(staging / "data.zarr");
  EXPECT_TRUE(KeepBlocksOnly(staging).ok());
}

}  // namespace
}  // namespace penstock::ingest
