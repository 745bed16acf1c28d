#include "penstock/catalog/catalog.h"

#include <sys/stat.h>

#include <thread>

#include "catalog/index/store_folder.h"
#include "catalog/index/store_lock.h"
#include "penstock/dataset/dataset.h"
#include "tests/catalog/temporary_store.h"

namespace penstock::catalog {
namespace {

using std::chrono::milliseconds;
using Strings = std::vector<std::string>;

VerifyRecord RecordOf(const std::filesystem::path& dataset, const std::string& time,
                      VerifyResult result = VerifyResult::kIntact) {
  return {.time = time,
          .result = result,
          .generation = Dataset::Open(dataset)->generation(),
          .bytes_checked = 12345,
          .damage_count = result == VerifyResult::kIntact ? 0 : 2};
}

class Catalog : public StoreTest {};

TEST_F(Catalog, EntriesHaveWhatTheSidecarSays) {
  AddDataset("2026/scan_1", {.missing = {3, 4}, .complete = true});
  MustRebuild();
  const Listing listing = MustList();
  ASSERT_EQ(listing.entries.size(), 1U);
  const Entry& entry = listing.entries[0].entry;
  EXPECT_EQ(entry.path, "2026/scan_1");
  EXPECT_EQ(entry.name(), "scan_1");
  EXPECT_EQ(entry.shape, testing_support::SyntheticOptions().shape);
  EXPECT_EQ(entry.frames_expected, 30);
  EXPECT_EQ(entry.frames_received, 28);
  EXPECT_EQ(entry.source_files, Strings{"scan.raw"});
  EXPECT_EQ(entry.source_file_count, 1);
  EXPECT_EQ(entry.ingest_time, "2026-11-20T12:00:05+01:00");
  EXPECT_EQ(entry.anomaly_count, 1);
  EXPECT_EQ(entry.state, "sealed");
  EXPECT_EQ(entry.generation, Dataset::Open(store_ / "2026/scan_1")->generation());
  EXPECT_FALSE(entry.last_verified.has_value());
  EXPECT_EQ(listing.entries[0].presence, Presence::kPresent);
  // A fact with its value; the block table and the sources are not facts.
  bool found = false;
  for (const EntryFact& fact : entry.facts) {
    found = found ||
            (fact.path == "measurement/instrument/fabrication/model" && fact.value == "STEM-300");
    EXPECT_FALSE(fact.path.starts_with("penstock")) << fact.path;
    EXPECT_FALSE(fact.path.starts_with("note")) << fact.path;
  }
  EXPECT_TRUE(found);
}

TEST_F(Catalog, ListsInOrderAndByPrefix) {
  for (const char* path : {"b/scan_2", "a/scan_10", "a/scan_1", "ab"}) AddDataset(path);
  MustRebuild();
  EXPECT_EQ(Paths(MustList()), (Strings{"a/scan_1", "a/scan_10", "ab", "b/scan_2"}));
  EXPECT_EQ(Paths(MustList({.prefix = "a/"})), (Strings{"a/scan_1", "a/scan_10"}));
  EXPECT_EQ(Paths(MustList({.prefix = "a"})), (Strings{"a/scan_1", "a/scan_10", "ab"}));
  EXPECT_EQ(Paths(MustList({.prefix = "c"})), Strings{});
}

TEST_F(Catalog, RegistrationOfANewStoreIsShownAtOnce) {
  AddDataset("scan_1");
  Register("scan_1", Registered::kPending);  // there is no index yet, and none is built here
  EXPECT_EQ(Paths(MustList()), Strings{"scan_1"});
  AddDataset("scan_2");
  Register("scan_2");
  EXPECT_EQ(Paths(MustList()), (Strings{"scan_1", "scan_2"}));
}

TEST_F(Catalog, DeletedIndexGivesTheSameListingAgain) {
  AddDataset("scan_1", {.missing = {}, .complete = true});
  AddDataset("deep/er/scan_2", {.missing = {0}});
  MustRebuild();
  ASSERT_TRUE(
      RecordVerification(store_, "scan_1", RecordOf(store_ / "scan_1", "2026-11-21T10:00:00+00:00"))
          .ok());
  const Listing before = MustList();
  ASSERT_EQ(before.entries.size(), 2U);
  ASSERT_TRUE(before.entries[1].entry.last_verified.has_value());
  std::filesystem::remove_all(IndexFolder());
  const Listing after = MustList();
  EXPECT_TRUE(after.rebuilt);
  EXPECT_EQ(after.entries, before.entries);
  const Listing again = MustList();
  EXPECT_FALSE(again.rebuilt);
  EXPECT_EQ(again.entries, before.entries);
}

TEST_F(Catalog, RegistrationEqualsRebuild) {
  AddDataset("scan_1");
  MustRebuild();
  AddDataset("scan_2", {.missing = {}, .calibrated = true});
  AddDataset("scan_3", {.missing = {29}});
  Register("scan_3");
  Register("scan_2");
  Register("scan_3");  // twice does no harm
  const Listing registered = MustList();
  const RebuildReport report = MustRebuild();
  EXPECT_EQ(report.datasets, 3);
  EXPECT_EQ(MustList().entries, registered.entries);
}

TEST_F(Catalog, EveryDamagedFileOfTheIndexLeadsToTheSameListing) {
  for (int i = 0; i < 4; ++i) AddDataset("scan_" + std::to_string(i));
  MustRebuild();
  AddDataset("scan_9");
  Register("scan_9");
  const Listing before = MustList();
  ASSERT_EQ(before.entries.size(), 5U);
  std::set<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(IndexInForce())) {
    if (item.file_size() > 0)
      names.insert(item.path().extension() == ".sst"
                       ? ".sst"
                       : item.path().filename().string().substr(0, 7));
  }
  ASSERT_GE(names.size(), 3U);  // tables, manifest, CURRENT, ...
  int rebuilt = 0;
  for (const std::string& name : names) {
    for (const std::string damage : {"delete", "truncate", "overwrite"}) {
      bool done = false;
      for (const auto& item : std::filesystem::directory_iterator(IndexInForce())) {
        const std::string file = item.path().filename();
        if (done || item.file_size() == 0 || !(file.starts_with(name) || file.ends_with(name))) {
          continue;
        }
        done = true;
        if (damage == "delete") {
          std::filesystem::remove(item.path());
        } else if (damage == "truncate") {
          std::filesystem::resize_file(item.path(), item.file_size() / 2);
        } else {
          std::fstream stream(item.path(), std::ios::in | std::ios::out | std::ios::binary);
          stream << std::string(item.file_size(), 'x');
        }
      }
      const Listing after = MustList();
      EXPECT_EQ(after.entries, before.entries) << name << ": " << damage;
      rebuilt += after.rebuilt ? 1 : 0;
    }
  }
  EXPECT_GE(rebuilt, 6);
}

TEST_F(Catalog, DamagedOrForeignCurrentFileLeadsToARebuild) {
  AddDataset("scan_1");
  MustRebuild();
  const Listing before = MustList();
  for (const std::string text : {R"({"schema":2,"index":"index-1","sequence":1})", "{", "",
                                 R"({"schema":1,"index":"../../scan_1","sequence":1})",
                                 R"({"schema":1,"index":"index-1","sequence":1000000})"}) {
    std::ofstream(IndexFolder() / "current.json") << text;
    const Listing after = MustList();
    EXPECT_TRUE(after.rebuilt) << text;
    EXPECT_EQ(after.entries, before.entries) << text;
  }
  // Indexes that are no longer in force do not pile up.
  int count = 0;
  for (const auto& item : std::filesystem::directory_iterator(IndexFolder())) {
    count += item.is_directory() ? 1 : 0;
  }
  EXPECT_EQ(count, 1);
}

TEST_F(Catalog, MarksVanishedAndChangedDatasets) {
  for (const char* path : {"changed", "gone", "stays", "touched"}) AddDataset(path);
  MustRebuild();
  std::filesystem::rename(store_ / "gone", store_ / ".gone");
  std::filesystem::remove_all(store_ / "changed");
  AddDataset("changed", {.missing = {1}});
  std::filesystem::last_write_time(store_ / "touched/nexus.json",
                                   std::filesystem::file_time_type::clock::now());
  const Listing listing = MustList();
  ASSERT_EQ(Paths(listing), (Strings{"changed", "gone", "stays", "touched"}));
  EXPECT_EQ(listing.entries[0].presence, Presence::kChanged);
  EXPECT_EQ(listing.entries[1].presence, Presence::kVanished);
  EXPECT_EQ(listing.entries[2].presence, Presence::kPresent);
  EXPECT_EQ(listing.entries[3].presence, Presence::kPresent);  // other time, same bytes
  ASSERT_TRUE(Forget(store_, "gone").ok());
  EXPECT_EQ(Forget(store_, "gone").error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(Paths(MustList()), (Strings{"changed", "stays", "touched"}));
}

TEST_F(Catalog, TwoThousandDatasetsAreListedFromTheIndexAlone) {
  AddDataset("template");
  for (int i = 0; i < 2000; ++i) AddSidecar("many/scan_" + std::to_string(i), "template", i);
  EXPECT_EQ(MustRebuild().datasets, 2001);
  // All directories are gone, so that nothing but the index can answer.
  std::filesystem::rename(store_ / "many", store_ / ".away");
  const Listing listing = MustList({.prefix = "many/", .with_facts = false});
  ASSERT_EQ(listing.entries.size(), 2000U);
  EXPECT_TRUE(std::all_of(listing.entries.begin(), listing.entries.end(), [](const auto& listed) {
    return listed.presence == Presence::kVanished && listed.entry.frames_expected == 30;
  }));
  EXPECT_TRUE(
      std::is_sorted(listing.entries.begin(), listing.entries.end(),
                     [](const auto& a, const auto& b) { return a.entry.path < b.entry.path; }));
  SilentProgress progress;
  const Result<std::vector<Entry>> found =
      FindByFact(store_, "measurement/event1/instrument/ebeam_column/electron_source/voltage", "V",
                 199.5, 1000, progress, {});
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), 801U);
  EXPECT_EQ(found->front().path, "many/scan_200");
  EXPECT_EQ(found->back().path, "many/scan_1000");
}

TEST_F(Catalog, BusyIndexLeavesANoteThatTheNextOneTakesUp) {
  AddDataset("scan_1");
  MustRebuild();
  AddDataset("scan_2");
  const Result<StoreFolder> folder = StoreFolder::Of(store_);
  {
    const Result<StoreLock> other = StoreLock::Exclusive(*folder, milliseconds(0));
    ASSERT_TRUE(other.ok());
    Register("scan_2", Registered::kPending, {.patience = milliseconds(20)});
    // Listings go on from the index in force and show what is pending.
    EXPECT_EQ(Paths(MustList()), (Strings{"scan_1", "scan_2"}));
    EXPECT_FALSE(std::filesystem::is_empty(folder->pending()));
    ASSERT_TRUE(Forget(store_, "scan_1", {.patience = milliseconds(20)}).ok());
    EXPECT_EQ(Paths(MustList()), Strings{"scan_2"});
    SilentProgress progress;
    const Result<RebuildReport> rebuilt = Rebuild(store_, progress, {}, milliseconds(20));
    ASSERT_FALSE(rebuilt.ok());
    EXPECT_EQ(rebuilt.error().kind(), ErrorKind::kBusy);
  }
  EXPECT_EQ(Paths(MustList()), Strings{"scan_2"});
  EXPECT_TRUE(std::filesystem::is_empty(folder->pending()));
}

TEST_F(Catalog, ManyThreadsRegisterAndListAtOnce) {
  AddDataset("template");
  for (int i = 0; i < 40; ++i) AddSidecar("scan_" + std::to_string(i), "template", i);
  std::filesystem::rename(store_ / "template", store_ / ".template");
  AddDataset("first");
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([this, t] {
        for (int i = t; i < 40; i += 4) {
          const auto done = RegisterDataset(store_, store_ / ("scan_" + std::to_string(i)));
          EXPECT_TRUE(done.ok());
        }
      });
    }
    threads.emplace_back([this] {
      for (int i = 0; i < 10; ++i) MustList();
    });
  }
  EXPECT_EQ(MustList().entries.size(), 41U);
  EXPECT_EQ(MustRebuild().datasets, 41);
}

TEST_F(Catalog, RebuildPassesOverStagingHiddenAndLinkedDirectories) {
  AddDataset("scan_1");
  for (const char* hidden : {".scan_2.ingest", ".snapshot/scan_1"}) {
    AddSidecar(hidden, "scan_1", 1);
  }
  const std::filesystem::path outside = store_.string() + ".outside";
  std::filesystem::create_directories(outside);
  std::filesystem::create_directory_symlink(outside, store_ / "out");
  std::filesystem::create_directory_symlink(store_, store_ / "loop");
  const RebuildReport report = MustRebuild();
  std::filesystem::remove_all(outside);
  EXPECT_EQ(report.datasets, 1);
  EXPECT_EQ(report.symbolic_links, 2);
  EXPECT_EQ(RegisterDataset(store_, store_ / ".snapshot/scan_1").error().kind(),
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(RegisterDataset(store_, "/").error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_EQ(RegisterDataset(store_, store_).error().kind(), ErrorKind::kInvalidArgument);
}

TEST_F(Catalog, DamagedSidecarsAreReportedAndHideNothing) {
  AddDataset("good");
  AddDataset("damaged/below");
  std::ofstream(store_ / "damaged/nexus.json") << "{\"entry1\": 3}";
  std::filesystem::create_directories(store_ / "empty");
  std::ofstream(store_ / "empty/nexus.json");
  const RebuildReport report = MustRebuild();
  EXPECT_EQ(report.datasets, 2);
  ASSERT_EQ(report.unreadable.size(), 2U);
  EXPECT_EQ(report.unreadable[0].path, "damaged");
  EXPECT_NE(report.unreadable[0].message.find("nexus.json"), std::string::npos);
  const Listing listing = MustList();
  EXPECT_EQ(Paths(listing), (Strings{"damaged/below", "good"}));
  EXPECT_EQ(listing.unreadable, report.unreadable);
}

TEST_F(Catalog, VerificationCountsForItsGenerationAndTheLastOneWins) {
  AddDataset("scan_1");
  MustRebuild();
  const VerifyRecord first = RecordOf(store_ / "scan_1", "2026-11-21T10:00:00+00:00");
  const VerifyRecord second =
      RecordOf(store_ / "scan_1", "2026-11-22T10:00:00+00:00", VerifyResult::kDamaged);
  ASSERT_TRUE(RecordVerification(store_, "scan_1", first).ok());
  EXPECT_EQ(MustList().entries[0].entry.last_verified, first);
  ASSERT_TRUE(RecordVerification(store_, "scan_1", second).ok());
  EXPECT_EQ(MustList().entries[0].entry.last_verified, second);
  MustRebuild();
  EXPECT_EQ(MustList().entries[0].entry.last_verified, second);
  // Written anew: what was verified is not there any more.
  std::filesystem::remove_all(store_ / "scan_1");
  AddDataset("scan_1", {.missing = {2}});
  Register("scan_1");
  EXPECT_FALSE(MustList().entries[0].entry.last_verified.has_value());
}

TEST_F(Catalog, TornLineOfTheVerificationLogIsCountedAndTheNextOneKept) {
  AddDataset("scan_1");
  const VerifyRecord record = RecordOf(store_ / "scan_1", "2026-11-21T10:00:00+00:00");
  MustRebuild();
  std::ofstream(store_ / ".penstock/verifications.jsonl") << "{\"path\":\"scan_1\",\"ti";
  ASSERT_TRUE(RecordVerification(store_, "scan_1", record).ok());
  EXPECT_EQ(MustRebuild().unreadable_verification_lines, 1);
  EXPECT_EQ(MustList().entries[0].entry.last_verified, record);
}

TEST_F(Catalog, StopLeavesTheIndexInForce) {
  AddDataset("scan_1");
  MustRebuild();
  AddDataset("scan_2");
  SilentProgress progress;
  std::stop_source stop;
  stop.request_stop();
  const Result<RebuildReport> report = Rebuild(store_, progress, stop.get_token());
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(Paths(MustList()), Strings{"scan_1"});
}

TEST_F(Catalog, FindsTheStoreAboveADataset) {
  AddDataset("a/b/scan_1");
  EXPECT_EQ(FindStore(store_ / "a/b/scan_1"), std::nullopt);
  MustRebuild();
  EXPECT_EQ(FindStore(store_ / "a/b/scan_1"), store_);
  EXPECT_EQ(*PathInStore(store_, store_ / "a/b/../b/scan_1"), "a/b/scan_1");
}

TEST_F(Catalog, LookupGivesFactsAndNamesWhatIsMissing) {
  AddDataset("scan_1", {.missing = {}, .complete = true});
  MustRebuild();
  SilentProgress progress;
  const Result<ListedEntry> entry = Lookup(store_, "scan_1", progress, {});
  ASSERT_TRUE(entry.ok());
  EXPECT_FALSE(entry->entry.facts.empty());
  const Result<ListedEntry> none = Lookup(store_, "scan_2", progress, {});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::kNotFound);
}

}  // namespace
}  // namespace penstock::catalog
