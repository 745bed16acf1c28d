// The records of StoreMemory. Private to this machine: they are written in its byte order and hold
// the day on which they were seen last, by which the oldest are found.

#ifndef PENSTOCK_CACHEFS_STATE_STORE_MEMORY_RECORD_H_
#define PENSTOCK_CACHEFS_STATE_STORE_MEMORY_RECORD_H_

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// Keys are a letter and the path.
inline constexpr char kStatusTag = 's';
inline constexpr char kEntriesTag = 'l';
inline constexpr char kTargetTag = 't';
inline constexpr char kContentsTag = 'c';

inline std::string MemoryKey(char tag, std::string_view path) {
  std::string key(1, tag);
  key += path;
  return key;
}

// A record is its day and what follows.
std::string WithDay(uint32_t day, std::string_view record);
std::optional<uint32_t> DayOf(std::string_view stored);
// "" where it is too short to be one.
std::string_view WithoutDay(std::string_view stored);

std::string EncodeStatus(const struct stat& status);
std::optional<struct stat> DecodeStatus(std::string_view record);

std::string EncodeEntries(const std::vector<DirectoryEntry>& entries);
std::optional<std::vector<DirectoryEntry>> DecodeEntries(std::string_view record);

// The identity of the file goes before its bytes.
std::string EncodeContents(const FileIdentity& identity, std::string_view bytes);
// Nothing where the bytes are those of another state.
std::optional<std::string> DecodeContents(std::string_view record, const FileIdentity& identity);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_STORE_MEMORY_RECORD_H_
