// What the tests of opening MIB files share: short files, and a source opened with its
// expectations.

#ifndef PENSTOCK_TESTS_INGEST_MIB_OPEN_HELPERS_H_
#define PENSTOCK_TESTS_INGEST_MIB_OPEN_HELPERS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {

inline constexpr size_t kRecord = 384 + 16 * 4 * 2;

inline Bytes Frames(int64_t first, int64_t count) {
  TestHeader header;
  header.sequence = first;
  return ProcessedFrames(header, count);
}

inline Bytes Joined(const Bytes& a, const Bytes& b) {
  Bytes all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

inline std::vector<std::string> FrameFiles(const SourceDescription& description) {
  std::vector<std::string> names;
  for (const SourceFile& file : description.files) {
    if (file.role == "frames") names.push_back(file.path.filename());
  }
  return names;
}

using Names = std::vector<std::string>;

inline SourceDescription Opened(const std::filesystem::path& path, bool this_file_only = false) {
  auto source = OpenMib(path, this_file_only);
  EXPECT_TRUE(source.ok()) << source.error().ToString();
  return source.ok() ? (*source)->description() : SourceDescription();
}

inline Error OpenError(const std::filesystem::path& path) {
  auto source = OpenMib(path);
  EXPECT_FALSE(source.ok()) << Listed((*source)->description().anomalies);
  return source.ok() ? Error::Internal("opened") : source.error();
}

inline const MetadataFact* Fact(const SourceDescription& description, std::string_view path) {
  const auto found = std::ranges::find(description.facts, path, &MetadataFact::path);
  return found == description.facts.end() ? nullptr : &*found;
}

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_MIB_OPEN_HELPERS_H_
