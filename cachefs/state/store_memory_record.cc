#include "cachefs/state/store_memory_record.h"

#include <array>
#include <cstring>
#include <utility>

namespace penstock::cachefs {

namespace {

using StatusFields = std::array<int64_t, 13>;

template <typename T>
void Append(std::string& text, const T& value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
bool Take(std::string_view& text, T& value) {
  if (text.size() < sizeof value) return false;
  std::memcpy(&value, text.data(), sizeof value);
  text.remove_prefix(sizeof value);
  return true;
}

}  // namespace

std::string WithDay(uint32_t day, std::string_view record) {
  std::string stored;
  stored.reserve(sizeof day + record.size());
  Append(stored, day);
  stored += record;
  return stored;
}

std::optional<uint32_t> DayOf(std::string_view stored) {
  uint32_t day = 0;
  if (!Take(stored, day)) return std::nullopt;
  return day;
}

std::string_view WithoutDay(std::string_view stored) {
  return stored.size() < sizeof(uint32_t) ? std::string_view() : stored.substr(sizeof(uint32_t));
}

std::string EncodeStatus(const struct stat& status) {
  const StatusFields fields{static_cast<int64_t>(status.st_dev),
                            static_cast<int64_t>(status.st_ino),
                            static_cast<int64_t>(status.st_mode),
                            static_cast<int64_t>(status.st_nlink),
                            static_cast<int64_t>(status.st_uid),
                            static_cast<int64_t>(status.st_gid),
                            static_cast<int64_t>(status.st_size),
                            static_cast<int64_t>(status.st_blksize),
                            static_cast<int64_t>(status.st_blocks),
                            status.st_mtim.tv_sec,
                            status.st_mtim.tv_nsec,
                            status.st_ctim.tv_sec,
                            status.st_ctim.tv_nsec};
  std::string record;
  Append(record, fields);
  return record;
}

std::optional<struct stat> DecodeStatus(std::string_view record) {
  StatusFields fields{};
  if (!Take(record, fields) || !record.empty()) return std::nullopt;
  struct stat status {};
  status.st_dev = static_cast<dev_t>(fields[0]);
  status.st_ino = static_cast<ino_t>(fields[1]);
  status.st_mode = static_cast<mode_t>(fields[2]);
  status.st_nlink = static_cast<nlink_t>(fields[3]);
  status.st_uid = static_cast<uid_t>(fields[4]);
  status.st_gid = static_cast<gid_t>(fields[5]);
  status.st_size = fields[6];
  status.st_blksize = fields[7];
  status.st_blocks = fields[8];
  status.st_mtim = {.tv_sec = fields[9], .tv_nsec = fields[10]};
  status.st_ctim = {.tv_sec = fields[11], .tv_nsec = fields[12]};
  status.st_atim = status.st_mtim;  // reads of the store must not look like changes
  return status;
}

std::string EncodeEntries(const std::vector<DirectoryEntry>& entries) {
  std::string record;
  for (const DirectoryEntry& entry : entries) {
    Append(record, entry.inode);
    Append(record, static_cast<uint32_t>(entry.type));
    Append(record, static_cast<uint32_t>(entry.name.size()));
    record += entry.name;
  }
  return record;
}

std::optional<std::vector<DirectoryEntry>> DecodeEntries(std::string_view record) {
  std::vector<DirectoryEntry> entries;
  while (!record.empty()) {
    DirectoryEntry entry;
    uint32_t type = 0;
    uint32_t length = 0;
    if (!Take(record, entry.inode) || !Take(record, type) || !Take(record, length) ||
        record.size() < length) {
      return std::nullopt;
    }
    entry.type = type;
    entry.name = record.substr(0, length);
    record.remove_prefix(length);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string EncodeContents(const FileIdentity& identity, std::string_view bytes) {
  std::string record;
  record.reserve(sizeof identity + bytes.size());
  Append(record, identity);
  record += bytes;
  return record;
}

std::optional<std::string> DecodeContents(std::string_view record, const FileIdentity& identity) {
  FileIdentity kept;
  if (!Take(record, kept)) return std::nullopt;
  kept.device = identity.device;  // its number changes from mount to mount of the store
  if (!(kept == identity) || record.size() != identity.size) return std::nullopt;
  return std::string(record);
}

}  // namespace penstock::cachefs
