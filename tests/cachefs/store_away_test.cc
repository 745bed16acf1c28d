// A store that goes away and comes back: what is judged (WatchedUpstream, StorePresence), what is
// remembered (StoreMemory) and what is answered (RememberingUpstream).

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "cachefs/state/store_memory.h"
#include "cachefs/upstream/read_file.h"
#include "cachefs/upstream/remembering_upstream.h"
#include "cachefs/upstream/watched_upstream.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::milliseconds kTimeout{300};
constexpr std::chrono::seconds kLong{20};

// Files by their paths; directories are what lies above them.
class SmallStore final : public SimpleUpstream {
 public:
  enum class Mood { kWell, kGone, kEmpty, kHangs };

  ~SmallStore() override { SetMood(Mood::kWell); }

  void SetMood(Mood mood) {
    const std::lock_guard lock(mutex_);
    mood_ = mood;
    changed_.notify_all();
  }
  void Put(const std::string& path, const std::string& text) {
    const std::lock_guard lock(mutex_);
    files_[path] = {.text = text, .number = ++number_};
  }
  void Remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    files_.erase(path);
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  Result<struct stat> Stat(const std::string& path) override {
    std::unique_lock lock(mutex_);
    PENSTOCK_RETURN_IF_ERROR(Enter(lock));
    struct stat status {};
    status.st_dev = 7;
    if (const auto file = files_.find(path); file != files_.end() && mood_ != Mood::kEmpty) {
      status.st_mode = S_IFREG | 0644;
      status.st_size = static_cast<off_t>(file->second.text.size());
      status.st_ino = status.st_ctim.tv_sec = file->second.number;
      return status;
    }
    if (!path.empty() && !IsDirectory(path)) return Error::NotFound("no such file").In(path);
    status.st_mode = S_IFDIR | 0755;
    status.st_ino = 1000 + path.size();
    return status;
  }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    std::unique_lock lock(mutex_);
    PENSTOCK_RETURN_IF_ERROR(Enter(lock));
    std::map<std::string, mode_t> names;
    const std::string prefix = path.empty() ? "" : path + "/";
    for (const auto& [name, file] : files_) {
      if (!name.starts_with(prefix) || mood_ == Mood::kEmpty) continue;
      const std::string rest = name.substr(prefix.size());
      const size_t slash = rest.find('/');
      names[rest.substr(0, slash)] = slash == std::string::npos ? S_IFREG : S_IFDIR;
    }
    if (names.empty() && !path.empty()) return Error::NotFound("no such directory").In(path);
    std::vector<DirectoryEntry> entries;
    for (const auto& [name, type] : names) entries.push_back({.name = name, .type = type});
    return entries;
  }
  Result<std::string> ReadLink(const std::string& path) override { return "target of " + path; }
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    std::unique_lock lock(mutex_);
    PENSTOCK_RETURN_IF_ERROR(Enter(lock));
    const std::string& text = files_.at(path).text;
    const size_t count = std::min(destination.size(), text.size() - offset);
    std::memcpy(destination.data(), text.data() + offset, count);
    return count;
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    struct File final : SimpleUpstreamFile {
      File(SmallStore& owner, std::string name) : store(owner), path(std::move(name)) {}
      Result<struct stat> Stat() override { return store.Stat(path); }
      Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
        return store.Read(path, offset, destination);
      }
      SmallStore& store;
      const std::string path;
    };
    PENSTOCK_RETURN_IF_ERROR(Stat(path));
    return std::shared_ptr<UpstreamFile>(std::make_shared<File>(*this, path));
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity&, uint64_t offset,
                               std::span<std::byte> destination) override {
    return Read(path, offset, destination);
  }
  Result<UpstreamSpace> Space() override { return UpstreamSpace{.total_bytes = 5}; }
  std::string Name() const override { return "small"; }

 private:
  struct File {
    std::string text;
    int number = 0;
  };

  Status Enter(std::unique_lock<std::mutex>& lock) {
    ++calls_;
    changed_.wait(lock, [this] { return mood_ != Mood::kHangs; });
    if (mood_ == Mood::kGone) return Error::FromErrno(EIO, "the store cannot be reached");
    return {};
  }
  bool IsDirectory(const std::string& path) const {
    const auto below = files_.lower_bound(path + "/");
    return mood_ != Mood::kEmpty && below != files_.end() && below->first.starts_with(path + "/");
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, File> files_;
  int number_ = 0;
  int calls_ = 0;
  Mood mood_ = Mood::kWell;
};

class StoreAwayTest : public testing::Test {
 protected:
  using Mood = SmallStore::Mood;

  StoreAwayTest() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-away-XXXXXX";
    root_ = mkdtemp(name.data());
    store_->Put("scan/nexus.json", "sidecar");
    store_->Put("scan/block/0", "zero");
    store_->Put("scan/block/1", "one");
    store_->Put("other", "file");
    Begin();
  }
  ~StoreAwayTest() override {
    store_->SetMood(Mood::kWell);
    End();
    std::filesystem::remove_all(root_);
  }
  // As a daemon that starts.
  void Begin(const std::string& name = "small") {
    auto memory = StoreMemory::Open(root_ / "memory", name);
    ASSERT_TRUE(memory.ok()) << memory.error().ToString();
    memory_ = *std::move(memory);
    watched_ = WatchUpstream(store_, kTimeout);
    upstream_ = MakeRememberingUpstream(watched_, watched_->presence(), *memory_);
  }
  void End() {
    upstream_.reset();
    if (watched_) {
      EXPECT_TRUE(watched_->WaitIdle(kLong));
    }
    watched_.reset();
    memory_.reset();
  }
  void Restart() {
    End();
    Begin();
  }
  void LookAtEverything() {
    for (const char* path :
         {"", "scan", "scan/nexus.json", "scan/block", "scan/block/0", "scan/block/1", "other"}) {
      ASSERT_TRUE(upstream_->Stat(path).ok()) << path;
    }
    for (const char* path : {"", "scan", "scan/block"}) ASSERT_TRUE(upstream_->List(path).ok());
    ASSERT_TRUE(ReadUpstreamFile(*upstream_, "scan/nexus.json", 100).ok());
  }
  std::vector<std::string> NamesIn(const std::string& path) {
    std::vector<std::string> names;
    const auto entries = upstream_->List(path);
    EXPECT_TRUE(entries.ok()) << path;
    if (!entries.ok()) return names;
    for (const auto& entry : *entries) names.push_back(entry.name);
    return names;
  }
  void ExpectAway(const std::string& path) {
    const auto status = upstream_->Stat(path);
    ASSERT_FALSE(status.ok()) << path;
    EXPECT_TRUE(IsStoreAway(status.error())) << status.error().ToString();
  }
  void ExpectEverything() {
    const auto block = upstream_->Stat("scan/block/1");
    ASSERT_TRUE(block.ok()) << block.error().ToString();
    EXPECT_EQ(block->st_size, 3);
    EXPECT_EQ(block->st_mode, S_IFREG | 0644U);
    EXPECT_EQ(NamesIn(""), (std::vector<std::string>{"other", "scan"}));
    EXPECT_EQ(NamesIn("scan/block"), (std::vector<std::string>{"0", "1"}));
    const auto text = ReadUpstreamFile(*upstream_, "scan/nexus.json", 100);
    ASSERT_TRUE(text.ok()) << text.error().ToString();
    EXPECT_EQ(*text, "sidecar");
    ExpectAway("scan/never");
    const auto unread = upstream_->Open("other");
    ASSERT_FALSE(unread.ok());
    EXPECT_TRUE(IsStoreAway(unread.error()));
  }
  void WaitUntilThere() {
    const auto end = std::chrono::steady_clock::now() + kLong;
    while (watched_->presence()->away() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_FALSE(watched_->presence()->away());
  }

  std::filesystem::path root_;
  std::shared_ptr<SmallStore> store_ = std::make_shared<SmallStore>();
  std::unique_ptr<StoreMemory> memory_;
  std::shared_ptr<WatchedUpstream> watched_;
  std::shared_ptr<RememberingUpstream> upstream_;
};

TEST_F(StoreAwayTest, AnswersFromMemoryInEveryKindOfAbsence) {
  for (const Mood mood : {Mood::kGone, Mood::kEmpty, Mood::kHangs}) {
    LookAtEverything();
    store_->SetMood(mood);
    ExpectAway("scan/never");  // somebody notices
    ExpectEverything();
    EXPECT_TRUE(watched_->presence()->away());
    store_->SetMood(Mood::kWell);
    WaitUntilThere();
    EXPECT_EQ(upstream_->Stat("scan/never").error().kind(), ErrorKind::kNotFound);
  }
}

TEST_F(StoreAwayTest, ANewDaemonRemembers) {
  LookAtEverything();
  store_->SetMood(Mood::kGone);
  Restart();
  ExpectEverything();
}

TEST_F(StoreAwayTest, ThatHangsIsNotAskedByThoseWhoComeLater) {
  LookAtEverything();
  store_->SetMood(Mood::kHangs);
  ExpectAway("scan/never");
  const int before = store_->calls();
  for (int i = 0; i < 100; ++i) ExpectAway("scan/never either");
  EXPECT_EQ(store_->calls(), before);
}

TEST_F(StoreAwayTest, AtTheEndNobodyIsLeftInTheStore) {
  LookAtEverything();
  store_->SetMood(Mood::kHangs);
  ExpectAway("scan/never");
  EXPECT_FALSE(watched_->End(std::chrono::milliseconds(0)));
  store_->SetMood(Mood::kWell);
  EXPECT_TRUE(watched_->End(kLong));
  const int before = store_->calls();
  watched_->presence()->Look();
  EXPECT_EQ(store_->calls(), before);
}

TEST_F(StoreAwayTest, MemoryIsNotBelievedWhileTheStoreAnswers) {
  LookAtEverything();
  store_->Put("scan/block/1", "longer than before");
  EXPECT_EQ(upstream_->Stat("scan/block/1")->st_size, 18);
  store_->Remove("other");
  EXPECT_EQ(upstream_->Stat("other").error().kind(), ErrorKind::kNotFound);
  store_->SetMood(Mood::kGone);
  EXPECT_EQ(upstream_->Stat("scan/block/1")->st_size, 18);
  ExpectAway("other");
  EXPECT_EQ(NamesIn(""), std::vector<std::string>{"scan"});
}

TEST_F(StoreAwayTest, WhatWasBelowARemovedDirectoryIsForgotten) {
  LookAtEverything();
  for (const char* path : {"scan/nexus.json", "scan/block/0", "scan/block/1"}) store_->Remove(path);
  EXPECT_EQ(upstream_->Stat("scan").error().kind(), ErrorKind::kNotFound);
  store_->SetMood(Mood::kGone);
  ExpectAway("scan");
  ExpectAway("scan/block/0");
  EXPECT_FALSE(ReadUpstreamFile(*upstream_, "scan/nexus.json", 100).ok());
  // And again, after it has been there once more.
  store_->SetMood(Mood::kWell);
  WaitUntilThere();
  store_->Put("scan/block/0", "again");
  EXPECT_TRUE(upstream_->Stat("scan").ok());
  EXPECT_TRUE(upstream_->Stat("scan/block/0").ok());
  store_->Remove("scan/block/0");
  EXPECT_FALSE(upstream_->Stat("scan").ok());
  store_->SetMood(Mood::kGone);
  ExpectAway("scan/block/0");
}

TEST_F(StoreAwayTest, AListingForgetsWhatItDoesNotName) {
  LookAtEverything();
  store_->Remove("scan/block/1");
  EXPECT_EQ(NamesIn("scan/block"), std::vector<std::string>{"0"});
  store_->SetMood(Mood::kGone);
  ExpectAway("scan/block/1");
  EXPECT_TRUE(upstream_->Stat("scan/block/0").ok());
}

TEST_F(StoreAwayTest, ADatasetWrittenAnewIsNotMixedWithTheOldOne) {
  LookAtEverything();
  store_->Put("scan/nexus.json", "another");
  EXPECT_TRUE(upstream_->Stat("scan/nexus.json").ok());
  store_->SetMood(Mood::kGone);
  ExpectAway("scan/block/1");  // of the one before, as far as anybody has seen
  EXPECT_FALSE(ReadUpstreamFile(*upstream_, "scan/nexus.json", 100).ok());
}

TEST_F(StoreAwayTest, WhatWasNotListedShowsWhatWasLookedUp) {
  for (const char* path : {"", "scan/block/0", "scan/block/1"}) {
    ASSERT_TRUE(upstream_->Stat(path).ok());
  }
  store_->SetMood(Mood::kGone);
  EXPECT_EQ(NamesIn("scan/block"), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(NamesIn(""), std::vector<std::string>{"scan"});
}

TEST_F(StoreAwayTest, RememberAsksForThePathAndWhatIsAbove) {
  upstream_->Remember("scan/block/0");
  store_->SetMood(Mood::kGone);
  EXPECT_TRUE(upstream_->Stat("scan").ok());
  EXPECT_TRUE(upstream_->Stat("scan/block").ok());
  EXPECT_EQ(upstream_->Stat("scan/block/0")->st_size, 4);
}

TEST_F(StoreAwayTest, AnotherStoreInheritsNothing) {
  LookAtEverything();
  End();
  Begin("another");
  store_->SetMood(Mood::kGone);
  ExpectAway("scan");
  EXPECT_FALSE(upstream_->List("").ok());
}

TEST_F(StoreAwayTest, AStoreOfWhichNothingWasSeenMayBeEmpty) {
  store_->SetMood(Mood::kEmpty);
  EXPECT_TRUE(NamesIn("").empty());
  EXPECT_EQ(upstream_->Stat("scan").error().kind(), ErrorKind::kNotFound);
  EXPECT_FALSE(watched_->presence()->away());
}

TEST_F(StoreAwayTest, AnErrorOfOneFileIsNoAbsence) {
  // The root answers; what a caller is told is what the store said of the file.
  LookAtEverything();
  EXPECT_EQ(upstream_->List("other").error().kind(), ErrorKind::kNotFound);
  EXPECT_FALSE(watched_->presence()->Doubt());
  EXPECT_TRUE(upstream_->Stat("other").ok());
}

TEST_F(StoreAwayTest, MemoryStaysWithinItsBounds) {
  End();
  auto memory =
      StoreMemory::Open(root_ / "memory", "small", {.total_bytes = 8 << 20, .file_bytes = 1 << 20});
  ASSERT_TRUE(memory.ok());
  const FileIdentity identity{.size = 1 << 20};
  std::mt19937 random(1);
  for (int i = 0; i < 64; ++i) {
    std::string text(1 << 20, '\0');
    for (char& byte : text) byte = static_cast<char>(random());  // not to be compressed
    (*memory)->KeepContents("file " + std::to_string(i), identity, text);
    ASSERT_TRUE((*memory)->WaitWritten(kLong));
  }
  (*memory)->KeepContents("large", {.size = 2 << 20}, std::string(2 << 20, 'x'));
  EXPECT_FALSE((*memory)->ContentsOf("large", {.size = 2 << 20}));
  int kept = 0;
  for (int i = 0; i < 64; ++i) {
    if ((*memory)->ContentsOf("file " + std::to_string(i), identity)) ++kept;
  }
  EXPECT_LE(kept, 8 + 16 + 1);  // looked at every 16 MiB
}

}  // namespace

}  // namespace penstock::cachefs
