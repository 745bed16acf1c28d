#include "cachefs/state/store_memory.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "cachefs/state/database.h"
#include "cachefs/state/store_memory_record.h"

namespace penstock::cachefs {

namespace {

constexpr char kStoreKey[] = "!store";
constexpr char kSidecar[] = "nexus.json";
constexpr char kForgottenTag = '-';  // of what is recent; no record has it
constexpr std::chrono::milliseconds kBetweenWrites{100};
constexpr std::chrono::seconds kReadPatience{5};
// What was kept lately is not looked at again; forgotten after an hour, so that days are renewed.
constexpr size_t kMostRecent = 256 * 1024;
constexpr std::chrono::hours kRecent{1};
constexpr size_t kMostBatched = size_t{4} << 20;
constexpr uint64_t kBetweenSizeChecks = uint64_t{16} << 20;

uint32_t Today() {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::days>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

// The keys of what is below a directory: from the first to before the last.
std::pair<std::string, std::string> RangeBelow(char tag, const std::string& path) {
  if (path.empty()) return {std::string(1, tag), std::string(1, static_cast<char>(tag + 1))};
  return {MemoryKey(tag, path + "/"), MemoryKey(tag, path + static_cast<char>('/' + 1))};
}

}  // namespace

struct StoreMemory::State {
  // `record` without its day; nothing: the path and all below are forgotten.
  struct Change {
    char tag = 0;
    std::string path;
    std::optional<std::string> record;
  };

  std::filesystem::path directory;
  StoreMemoryLimits limits;
  std::unique_ptr<rocksdb::DB> database;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::deque<Change> changes;
  size_t unwritten = 0;
  uint64_t unwritten_bytes = 0;
  std::unordered_map<size_t, size_t> recent;  // hash of what was kept, by hash of the key
  std::chrono::steady_clock::time_point recent_since = std::chrono::steady_clock::now();
  mutable bool hurry = false;
  bool stopping = false;

  // Of the thread that writes.
  uint64_t written_since_check = 0;
  bool failed = false;
  rocksdb::WriteBatch batch;
  std::thread thread;

  void Add(char tag, const std::string& path, std::optional<std::string> record) {
    const std::hash<std::string_view> hash;
    const size_t key = hash(MemoryKey(tag, path));
    const size_t value = record ? hash(*record) : 0;
    const std::lock_guard lock(mutex);
    const auto [known, is_new] = recent.try_emplace(key, value);
    if (!is_new && known->second == value) return;
    const uint64_t bytes = path.size() + (record ? record->size() : 0);
    if (record && unwritten_bytes + bytes > limits.unwritten_bytes) {
      recent.erase(known);
      return;
    }
    known->second = value;
    if (record) {
      recent.erase(hash(MemoryKey(kForgottenTag, path)));
    } else {
      // What is below is to be kept again when it is seen again.
      for (const char each : {kStatusTag, kEntriesTag, kTargetTag, kContentsTag}) {
        recent.erase(hash(MemoryKey(each, path)));
      }
      recent[key] = value;
    }
    changes.push_back({.tag = tag, .path = path, .record = std::move(record)});
    ++unwritten;
    unwritten_bytes += bytes;
    if (unwritten == 1) changed.notify_all();
  }

  void ForgetRecent() {
    const std::lock_guard lock(mutex);
    recent.clear();
    recent_since = std::chrono::steady_clock::now();
  }

  void Run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stopping || !changes.empty(); });
      if (changes.empty()) return;
      // A moment for others to come.
      changed.wait_for(lock, kBetweenWrites, [this] { return stopping || hurry; });
      std::deque<Change> taken;
      taken.swap(changes);
      hurry = false;
      if (recent.size() > kMostRecent ||
          std::chrono::steady_clock::now() - recent_since > kRecent) {
        recent.clear();
        recent_since = std::chrono::steady_clock::now();
      }
      lock.unlock();
      uint64_t bytes = 0;
      for (const Change& change : taken) {
        bytes += change.path.size() + (change.record ? change.record->size() : 0);
        Write(change);
      }
      WriteBatched();
      written_since_check += bytes;
      if (written_since_check > kBetweenSizeChecks) {
        written_since_check = 0;
        Trim();
      }
      lock.lock();
      unwritten -= taken.size();
      unwritten_bytes -= bytes;
      changed.notify_all();
    }
  }

  void Write(const Change& change) {
    if (!change.record) {
      ForgetPath(change.path);
      return;
    }
    const std::string key = MemoryKey(change.tag, change.path);
    const uint32_t today = Today();
    std::string stored;
    const bool is_there = Get(key, stored);
    if (is_there && WithoutDay(stored) == *change.record && DayOf(stored) == today) return;
    if (change.tag == kStatusTag && is_there) {
      ForgetWhatItReplaces(change.path, WithoutDay(stored), *change.record);
    }
    if (change.tag == kEntriesTag) ForgetUnlisted(change.path, *change.record);
    batch.Put(key, WithDay(today, *change.record));
    if (batch.GetDataSize() > kMostBatched) WriteBatched();
  }

  // Before anything that looks at what is written.
  void WriteBatched() {
    if (batch.Count() == 0) return;
    Check(database->Write(rocksdb::WriteOptions(), &batch));
    batch.Clear();
  }

  // Another directory of the name, or another dataset in it (whose nexus.json is another one): what
  // was seen below belongs to the earlier one.
  void ForgetWhatItReplaces(const std::string& path, std::string_view before,
                            std::string_view after) {
    const auto old_status = DecodeStatus(before);
    const auto new_status = DecodeStatus(after);
    if (!old_status || !new_status) return;
    const bool same_file = old_status->st_ino == new_status->st_ino &&
                           (old_status->st_mode & S_IFMT) == (new_status->st_mode & S_IFMT);
    if (S_ISDIR(old_status->st_mode)) {
      // (On another device something was mounted or unmounted there, which says nothing.)
      if (!same_file && old_status->st_dev == new_status->st_dev && !path.empty()) {
        ForgetBelow(path);
      }
      return;
    }
    if (NameOf(path) != kSidecar) return;
    // (The number of its device is another one whenever a store is mounted.)
    if (same_file && old_status->st_size == new_status->st_size &&
        old_status->st_mtim.tv_sec == new_status->st_mtim.tv_sec &&
        old_status->st_mtim.tv_nsec == new_status->st_mtim.tv_nsec) {
      return;
    }
    ForgetBelow(ParentOf(path));
  }

  void ForgetUnlisted(const std::string& path, std::string_view record) {
    WriteBatched();
    const auto entries = DecodeEntries(record);
    if (!entries) return;
    std::unordered_set<std::string_view> listed;
    for (const DirectoryEntry& entry : *entries) listed.insert(entry.name);
    for (const DirectoryEntry& child : ChildrenOf(path)) {
      if (listed.contains(child.name)) continue;
      ForgetPath(path.empty() ? child.name : path + "/" + child.name);
    }
  }

  void ForgetPath(const std::string& path) {
    WriteBatched();
    std::string stored;
    const bool was_there = Get(MemoryKey(kStatusTag, path), stored);
    ForgetBelow(path);
    for (const char tag : {kStatusTag, kEntriesTag, kTargetTag, kContentsTag}) {
      const std::string key = MemoryKey(tag, path);
      if (Get(key, stored)) Check(database->Delete(rocksdb::WriteOptions(), key));
    }
    if (!was_there || path.empty()) return;
    const std::string parent = MemoryKey(kEntriesTag, ParentOf(path));
    if (!Get(parent, stored)) return;
    auto entries = DecodeEntries(WithoutDay(stored));
    if (!entries) return;
    const std::string name = NameOf(path);
    if (std::erase_if(*entries, [&name](const auto& each) { return each.name == name; }) == 0) {
      return;
    }
    Check(database->Put(rocksdb::WriteOptions(), parent,
                        WithDay(DayOf(stored).value_or(0), EncodeEntries(*entries))));
    ForgetRecent();
  }

  void ForgetBelow(const std::string& path) {
    WriteBatched();
    bool anything = false;
    for (const char tag : {kStatusTag, kEntriesTag, kTargetTag, kContentsTag}) {
      const auto [first, end] = RangeBelow(tag, path);
      const std::unique_ptr<rocksdb::Iterator> entry(database->NewIterator(rocksdb::ReadOptions()));
      entry->Seek(first);
      if (!entry->Valid() || entry->key().compare(end) >= 0) continue;
      anything = true;
      Check(database->DeleteRange(rocksdb::WriteOptions(), database->DefaultColumnFamily(), first,
                                  end));
    }
    if (anything) ForgetRecent();
  }

  // What was seen in a directory, by its names.
  std::vector<DirectoryEntry> ChildrenOf(const std::string& path) const {
    std::vector<DirectoryEntry> children;
    std::unordered_set<std::string> known;
    const auto [first, end] = RangeBelow(kStatusTag, path);
    const std::unique_ptr<rocksdb::Iterator> entry(database->NewIterator(rocksdb::ReadOptions()));
    entry->Seek(first);
    while (entry->Valid() && entry->key().compare(end) < 0) {
      std::string name = entry->key().ToString().substr(first.size());
      if (name.empty()) {  // the root itself
        entry->Next();
        continue;
      }
      const size_t slash = name.find('/');
      if (slash != std::string::npos) {
        // Of what is deeper nothing is wanted.
        name.resize(slash);
        entry->Seek(first + name + static_cast<char>('/' + 1));
        if (known.insert(name).second) {
          children.push_back({.name = name, .type = S_IFDIR, .inode = 0});
        }
        continue;
      }
      if (const auto status = DecodeStatus(WithoutDay(entry->value().ToStringView()))) {
        children.push_back(
            {.name = name, .type = status->st_mode & S_IFMT, .inode = status->st_ino});
        known.insert(name);
      }
      entry->Next();
    }
    return children;
  }

  // Where there is too much, what was seen longest ago goes, a day after the other.
  void Trim() {
    if (Size() <= limits.total_bytes) return;
    std::map<uint32_t, uint64_t> bytes_of_day;
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> entry(database->NewIterator(options));
    uint64_t total = 0;
    for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
      const uint64_t bytes = entry->key().size() + entry->value().size();
      bytes_of_day[DayOf(entry->value().ToStringView()).value_or(0)] += bytes;
      total += bytes;
    }
    if (total > limits.total_bytes) {
      uint32_t last = 0;  // the last day that goes
      for (const auto& [day, bytes] : bytes_of_day) {
        if (total <= limits.total_bytes / 4 * 3) break;
        last = day;
        total -= bytes;
      }
      for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
        const rocksdb::Slice key = entry->key();
        if (key == kStoreKey || DayOf(entry->value().ToStringView()).value_or(0) > last) continue;
        Check(database->Delete(rocksdb::WriteOptions(), key));
      }
      ForgetRecent();
      spdlog::info("what was seen of the store longest ago is forgotten");
    }
    Check(database->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr));
  }

  uint64_t Size() const {
    uint64_t tables = 0;
    uint64_t fresh = 0;
    database->GetIntProperty("rocksdb.total-sst-files-size", &tables);
    database->GetIntProperty("rocksdb.cur-size-all-mem-tables", &fresh);
    return tables + fresh;
  }

  bool Get(const std::string& key, std::string& stored) const {
    return database->Get(rocksdb::ReadOptions(), key, &stored).ok();
  }

  void Check(const rocksdb::Status& status) {
    if (status.ok()) {
      failed = false;
    } else if (!std::exchange(failed, true)) {
      spdlog::warn("what is seen of the store is not remembered: {}",
                   DatabaseFailure(directory, status).ToString());
    }
  }

  bool WaitWritten(std::chrono::milliseconds patience) const {
    std::unique_lock lock(mutex);
    if (unwritten == 0) return true;
    hurry = true;
    changed.notify_all();
    return changed.wait_for(lock, patience, [this] { return unwritten == 0; });
  }

  std::optional<std::string> Read(char tag, const std::string& path) const {
    WaitWritten(kReadPatience);
    std::string stored;
    if (!Get(MemoryKey(tag, path), stored)) return std::nullopt;
    return std::string(WithoutDay(stored));
  }
};

StoreMemory::StoreMemory(std::unique_ptr<State> state) : state_(std::move(state)) {
  state_->thread = std::thread([this] { state_->Run(); });
}

StoreMemory::~StoreMemory() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

Result<std::unique_ptr<StoreMemory>> StoreMemory::Open(const std::filesystem::path& directory,
                                                       const std::string& store,
                                                       const StoreMemoryLimits& limits) {
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->limits = limits;
  PENSTOCK_ASSIGN_OR_RETURN(state->database, OpenDatabase(directory));
  std::string stored;
  const bool same = state->Get(kStoreKey, stored) && WithoutDay(stored) == store;
  if (!same) {
    for (const char tag : {kStatusTag, kEntriesTag, kTargetTag, kContentsTag}) {
      const auto [first, end] = RangeBelow(tag, "");
      state->Check(state->database->DeleteRange(
          rocksdb::WriteOptions(), state->database->DefaultColumnFamily(), first, end));
    }
    state->Check(state->database->Put(rocksdb::WriteOptions(), kStoreKey, WithDay(Today(), store)));
  }
  return std::unique_ptr<StoreMemory>(new StoreMemory(std::move(state)));
}

void StoreMemory::KeepStatus(const std::string& path, const struct stat& status) {
  state_->Add(kStatusTag, path, EncodeStatus(status));
}

void StoreMemory::KeepEntries(const std::string& path, const std::vector<DirectoryEntry>& entries) {
  std::string record = EncodeEntries(entries);
  if (record.size() > state_->limits.file_bytes) return;
  state_->Add(kEntriesTag, path, std::move(record));
}

void StoreMemory::KeepTarget(const std::string& path, const std::string& target) {
  state_->Add(kTargetTag, path, target);
}

void StoreMemory::KeepContents(const std::string& path, const FileIdentity& identity,
                               std::string_view bytes) {
  if (bytes.size() > state_->limits.file_bytes) return;
  state_->Add(kContentsTag, path, EncodeContents(identity, bytes));
}

void StoreMemory::Forget(const std::string& path) {
  if (!path.empty()) state_->Add(kForgottenTag, path, std::nullopt);
}

bool StoreMemory::HasStatus(const std::string& path) const {
  const size_t key = std::hash<std::string_view>()(MemoryKey(kStatusTag, path));
  const std::lock_guard lock(state_->mutex);
  return state_->recent.contains(key);
}

std::optional<struct stat> StoreMemory::StatusOf(const std::string& path) {
  const auto record = state_->Read(kStatusTag, path);
  return record ? DecodeStatus(*record) : std::nullopt;
}

std::optional<std::vector<DirectoryEntry>> StoreMemory::EntriesOf(const std::string& path) {
  const auto record = state_->Read(kEntriesTag, path);
  auto entries = record ? DecodeEntries(*record) : std::nullopt;
  std::vector<DirectoryEntry> seen = state_->ChildrenOf(path);
  if (!entries) {
    if (seen.empty()) return std::nullopt;
    return seen;
  }
  std::unordered_set<std::string> listed;
  for (const DirectoryEntry& entry : *entries) listed.insert(entry.name);
  for (DirectoryEntry& entry : seen) {
    if (!listed.contains(entry.name)) entries->push_back(std::move(entry));
  }
  return entries;
}

std::optional<std::string> StoreMemory::TargetOf(const std::string& path) {
  return state_->Read(kTargetTag, path);
}

std::optional<std::string> StoreMemory::ContentsOf(const std::string& path,
                                                   const FileIdentity& identity) {
  const auto record = state_->Read(kContentsTag, path);
  return record ? DecodeContents(*record, identity) : std::nullopt;
}

bool StoreMemory::empty() {
  const auto entries = EntriesOf("");
  return !entries || entries->empty();
}

bool StoreMemory::WaitWritten(std::chrono::milliseconds patience) const {
  return state_->WaitWritten(patience);
}

size_t StoreMemory::unwritten() const {
  const std::lock_guard lock(state_->mutex);
  return state_->unwritten;
}

}  // namespace penstock::cachefs
