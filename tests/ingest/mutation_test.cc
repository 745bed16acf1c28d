// A short, reproducible share of what tools/fuzz does at length: every format gets its seeds, the
// finds of former fuzzing (tests/fuzz/finds/FORMAT), and mutations of both.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "penstock/ingest/registry.h"
#include "tests/fuzz/exercise_source.h"
#include "tests/ingest/each_format.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

using Seeds = std::vector<std::string>;

Seeds ReadSeeds(std::string_view format) {
  Seeds seeds;
  for (const char* kind : {"seeds", "finds"}) {
    const std::filesystem::path folder =
        std::filesystem::path(PENSTOCK_SOURCE_DIR) / "tests/fuzz" / kind / format;
    if (!std::filesystem::exists(folder)) continue;
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    for (const auto& path : paths) seeds.push_back(ReadText(path));
  }
  return seeds;
}

// Bytes changed, cut out, repeated, numbers made extreme; mostly near the beginning, where headers
// are.
std::string Mutate(std::string bytes, std::mt19937_64& random) {
  const auto below = [&random](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  const size_t changes = 1 + below(4);
  for (size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t reach = below(3) == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 1024);
    const size_t at = below(reach);
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2:  // a digit of a number in text, or a byte of a binary one
        bytes[at] = "0123456789-+.xe \xff\x7f\x80"[below(19)];
        break;
      case 3:
        bytes.resize(below(bytes.size()));
        break;
      case 4:
        bytes.erase(at, 1 + below(64));
        break;
      case 5:
        bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(64)));
        break;
      default:
        for (size_t k = at; k < std::min(bytes.size(), at + 4); ++k) {
          bytes[k] = static_cast<char>(below(2) == 0 ? 0xff : 0);
        }
    }
  }
  return bytes;
}

class Mutation : public ::testing::TestWithParam<std::string> {};

TEST_P(Mutation, DamagedInputIsRefusedOrDecodedTheSameWayTwice) {
  const std::string format = GetParam();
  const Seeds seeds = ReadSeeds(format);
  if (seeds.empty()) GTEST_SKIP() << "tests/fuzz/seeds/" << format << " has no seeds";
  const TemporaryFolder folder;
  const auto exercise = [&](const std::string& input) {
    return ExerciseSource(format, std::as_bytes(std::span(input)), folder / "run");
  };
  int opened = 0;
  for (const std::string& seed : seeds) opened += exercise(seed).opened ? 1 : 0;
  EXPECT_GT(opened, 0) << "no seed is a good file of this format";
  std::mt19937_64 random(20261121);
  // Where the smallest file of a format is large, a mutation costs as much as many.
  const bool large = seeds.front().size() > (size_t{1} << 19);
  const int mutations = large ? 50 : 400;
  for (int i = 0; i < mutations; ++i) {
    exercise(Mutate(seeds[random() % seeds.size()], random));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Mutation, ::testing::ValuesIn(FormatNames()), FormatTestName);

}  // namespace
}  // namespace penstock::ingest
