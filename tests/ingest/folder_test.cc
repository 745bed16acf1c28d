// Which acquisitions a folder holds, each once.

#include "penstock/ingest/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "penstock/ingest/ingest.h"
#include "penstock/ingest/provenance.h"
#include "tests/ingest/mib_test_files.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

namespace fs = std::filesystem;

// Read system calls of this process so far.
int64_t ReadCalls() {
  std::ifstream io("/proc/self/io");
  std::string key;
  int64_t value = 0;
  while (io >> key >> value) {
    if (key == "syscr:") return value;
  }
  return -1;
}

FolderContents Examine(const fs::path& folder, FolderOptions options = {}) {
  FolderExaminer examiner(folder, std::move(options));
  auto contents = examiner.Examine(folder, {});
  EXPECT_TRUE(contents.ok()) << contents.error().ToString();
  return std::move(contents).value();
}

std::vector<std::string> Names(const std::vector<FoundAcquisition>& found) {
  std::vector<std::string> names;
  for (const FoundAcquisition& one : found) names.push_back(one.path.filename().string());
  return names;
}

std::vector<std::string> Names(const std::vector<LeftOut>& left) {
  std::vector<std::string> names;
  for (const LeftOut& one : left) names.push_back(one.path.filename().string());
  return names;
}

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Folder, EachAcquisitionOnceWithItsSecondaryFiles) {
  const TestDirectory folder;
  folder.Write("scan.mib", ProcessedFrames({}, 4));
  folder.Write("scan.hdr", TestSidecar(4, 2));
  folder.Write("run1.mib", ProcessedFrames({}, 2));
  TestHeader later;
  later.sequence = 3;
  folder.Write("run2.mib", ProcessedFrames(later, 2));
  folder.Write("notes.txt", std::string("a fine day"));
  folder.Write(".hidden.mib", ProcessedFrames({}, 2));
  folder.Write("empty.mib", std::string());
  fs::create_directory(folder / "deeper");
  fs::create_directory(folder / ".staging");
  fs::create_symlink(folder / "scan.mib", folder / "link.mib");
  const FolderContents contents = Examine((folder / "x").parent_path());
  EXPECT_THAT(Names(contents.acquisitions), ElementsAre("run1.mib", "scan.hdr"));
  EXPECT_EQ(contents.acquisitions[0].files.size(), 2U);
  EXPECT_THAT(Names(contents.unknown), ElementsAre("notes.txt"));
  EXPECT_THAT(Names(contents.failed), ElementsAre("empty.mib"));
  EXPECT_THAT(contents.folders, ElementsAre(folder / "deeper"));
}

TEST(Folder, OneBadFileIsToldOnceAndStopsNoOther) {
  const TestDirectory folder;
  for (int i = 1; i <= 40; ++i) {
    TestHeader header;
    header.sequence = i;
    Bytes frame = ProcessedFrame(header);
    if (i == 20) frame[0] = std::byte{'X'};
    char name[32];
    std::snprintf(name, sizeof name, "bad_%03d.mib", i);
    folder.Write(name, frame);
  }
  folder.Write("good.mib", ProcessedFrames({}, 2));
  const FolderContents contents = Examine((folder / "x").parent_path());
  EXPECT_THAT(Names(contents.acquisitions), ElementsAre("good.mib"));
  EXPECT_EQ(contents.failed.size() + contents.unknown.size(), 2U);  // the series, and the file
}

TEST(Folder, WhatIsStillWrittenIsNotOpened) {
  const TestDirectory folder;
  folder.Write("run1.mib", ProcessedFrames({}, 2));
  TestHeader later;
  later.sequence = 3;
  const fs::path second = folder.Write("run2.mib", ProcessedFrames(later, 2));
  folder.Write("scan.mib", ProcessedFrames({}, 2));
  FolderOptions options;
  options.is_settled = [&second](const fs::path& path) { return path != second; };
  const FolderContents contents = Examine((folder / "x").parent_path(), options);
  EXPECT_THAT(Names(contents.acquisitions), ElementsAre("scan.mib"));
  EXPECT_EQ(contents.unsettled.size(), 1U);
}

TEST(Folder, FilesAreOpenedByTheirRule) {
  const TestDirectory folder;
  folder.Write("a.bin", std::string(64, 'x'));
  folder.Write("b.bin", std::string(64, 'x'));
  FolderOptions options;
  options.choose = [](const fs::path& relative) -> std::optional<OpenChoice> {
    if (relative != "a.bin") return std::nullopt;
    OpenChoice choice{.format = "raw", .open = {}, .rule = 1};
    choice.open.signal_shape = {4, 4};
    choice.open.element_type = ElementType::kUint16;
    return choice;
  };
  const FolderContents contents = Examine((folder / "x").parent_path(), options);
  EXPECT_THAT(Names(contents.acquisitions), ElementsAre("a.bin"));
  EXPECT_EQ(contents.acquisitions[0].source->description().frame_count, 2);
  EXPECT_THAT(contents.unknown, IsEmpty());
}

// The header of each file is read once, for detection, ordering and numbering together.
TEST(Folder, TenThousandFilesOfOneSeriesAreOpenedOnce) {
  if (ReadCalls() < 0) GTEST_SKIP() << "no /proc/self/io";
  constexpr int kFiles = 10'000;
  const TestDirectory folder;
  TestHeader header;
  for (int i = 1; i <= kFiles; ++i) {
    header.sequence = i;
    header.time_ns = int64_t{i} * 1'000'000;
    folder.Write("frame" + std::to_string(i) + ".mib", ProcessedFrame(header));
  }
  const int64_t before = ReadCalls();
  FolderContents contents = Examine((folder / "x").parent_path());
  ASSERT_EQ(contents.acquisitions.size(), 1U);
  ASSERT_EQ(contents.acquisitions[0].files.size(), size_t{kFiles});
  const TemporaryFolder store;
  IngestOptions options;
  options.to = store.path() / "";
  options.scan_shape = {100, 100, false};
  const auto plan =
      PlanIngest(contents.acquisitions[0].source, contents.acquisitions[0].path, options);
  ASSERT_TRUE(plan.ok()) << plan.error().ToString();
  EXPECT_EQ(plan->mapping.SourceFrame(kFiles - 1), kFiles - 1);
  EXPECT_LE(ReadCalls() - before, kFiles + 100);
}

class ProvenanceTest : public testing::Test {
 protected:
  IngestPlan Plan(ScanShape scan = {2, 2, false}) {
    IngestOptions options;
    options.to = store_.path() / "";
    options.scan_shape = scan;
    auto plan = PlanIngest(source_, options);
    EXPECT_TRUE(plan.ok()) << plan.error().ToString();
    return std::move(plan).value();
  }
  DestinationKind Look(const IngestPlan& plan) {
    const auto state = LookAtDestination(plan, {});
    EXPECT_TRUE(state.ok());
    return state->kind;
  }

  TestDirectory folder_;
  TemporaryFolder store_;
  fs::path source_ = folder_.Write("scan.mib", ProcessedFrames({}, 4));
};

TEST_F(ProvenanceTest, KnowsItsOwnDataset) {
  EXPECT_EQ(Look(Plan()), DestinationKind::kFree);
  SilentProgress silent;
  ASSERT_TRUE(RunIngest(Plan(), silent, {}).ok());
  EXPECT_EQ(Look(Plan()), DestinationKind::kSame);
  EXPECT_EQ(Look(Plan({1, 4, false})), DestinationKind::kOther);

  // A copy with another time is the same; other bytes are not.
  fs::last_write_time(source_, fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(Look(Plan()), DestinationKind::kSame);
  Bytes frames = ProcessedFrames({}, 4);
  frames.back() ^= std::byte{1};
  folder_.Write("scan.mib", frames);
  EXPECT_EQ(Look(Plan()), DestinationKind::kOther);
}

TEST_F(ProvenanceTest, SeesWhatIsInTheWay) {
  fs::create_directory(store_ / "scan");
  EXPECT_EQ(Look([&] {
              IngestPlan plan = Plan();
              plan.destination = store_ / "scan";
              return plan;
            }()),
            DestinationKind::kNoDataset);
  fs::remove(store_ / "scan");
  SilentProgress silent;
  ASSERT_TRUE(RunIngest(Plan(), silent, {}).ok());
  IngestPlan inside = Plan();
  inside.destination = store_ / "scan" / "more";
  EXPECT_EQ(Look(inside), DestinationKind::kInsideOther);
}

}  // namespace
}  // namespace penstock::ingest
