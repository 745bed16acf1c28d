// A short, reproducible share of what tools/fuzz does at length with compressed blocks: seeds,
// finds of former fuzzing (tests/fuzz/finds/chunks), and mutations of both.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "tests/fuzz/exercise_chunks.h"

namespace penstock {
namespace {

ChunkExercise Exercise(const std::string& input) {
  return ExerciseChunks(std::as_bytes(std::span(input)));
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (uint8_t choice = 0; choice < kChunkChoices; ++choice) {
    for (const bool zstd : {false, true}) {
      for (const bool whole_file : {false, true}) {
        seeds.push_back(ChunkSeed(choice, zstd, whole_file));
      }
    }
  }
  return seeds;
}

TEST(ChunkMutationTest, SeedsDecode) {
  for (const std::string& seed : Seeds()) {
    const ChunkExercise exercise = Exercise(seed);
    EXPECT_TRUE(exercise.index_parsed);
    EXPECT_EQ(exercise.chunks_decoded, 3);
    EXPECT_EQ(exercise.chunks_refused, 0);
  }
}

TEST(ChunkMutationTest, FindsStayMended) {
  const auto folder = std::filesystem::path(PENSTOCK_SOURCE_DIR) / "tests/fuzz/finds/chunks";
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    Exercise(*ReadWholeFile(entry.path(), uint64_t{1} << 22));
  }
}

TEST(ChunkMutationTest, MutationsDecodeOrAreRefused) {
  const std::vector<std::string> seeds = Seeds();
  std::mt19937 random(20261122);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same every time
  int64_t decoded = 0;
  int64_t refused = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string input = seeds[random() % seeds.size()];
    for (unsigned i = 0; i <= random() % 4; ++i) {
      // Headers, which are in front, more often than what is behind them.
      const size_t reach = random() % 2 == 0 ? std::min<size_t>(input.size(), 64) : input.size();
      const size_t at = 1 + random() % (reach - 1);
      switch (random() % 4) {
        case 0:
          input[at] = static_cast<char>(random());
          break;
        case 1:
          input[at] = static_cast<char>(input[at] ^ (1U << random() % 8));
          break;
        case 2:
          input.erase(at, 1 + random() % 16);
          break;
        default:
          input.insert(at, 1 + random() % 4, static_cast<char>(random()));
      }
      if (input.size() < 3) break;
    }
    const ChunkExercise exercise = Exercise(input);
    decoded += exercise.chunks_decoded;
    refused += exercise.chunks_refused;
  }
  EXPECT_GT(decoded, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace penstock
