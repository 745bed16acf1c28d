// Frames copied into memory of the caller, whatever the tiles.

#include "penstock/reader/frame_copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

TEST(FrameCopy, WantedAndValidFramesStandInScanOrder) {
  auto frames = MakeFrames<uint16_t>();
  const size_t pixels = frames.pixels();
  std::vector<uint8_t> selection(frames.count());
  for (const size_t f : {1, 2, 9, 20, 34}) selection[f] = 1;
  frames.valid.assign(frames.count(), 1);
  frames.valid[9] = 0;
  for (const PassCut& cut : {PassCut{}, PassCut{3, 256, 5}, PassCut{1, 512, 1}}) {
    std::vector<uint16_t> found(5 * pixels, 7);
    FrameCopyReduction copy(std::as_writable_bytes(std::span(found)), selection);
    ASSERT_TRUE(RunInMemory(copy, frames.shape, frames.data, frames.valid, cut).ok());
    size_t place = 0;
    for (const size_t f : {1, 2, 9, 20, 34}) {
      for (size_t p = 0; p < pixels; ++p) {
        ASSERT_EQ(found[place * pixels + p], f == 9 ? 7 : frames.At(f, p)) << f << ", " << p;
      }
      ++place;
    }
  }
}

TEST(FrameCopy, MemoryThatDoesNotFitIsRefused) {
  const auto frames = MakeFrames<uint8_t>();
  const std::vector<uint8_t> all(frames.count(), 1);
  std::vector<std::byte> memory(frames.data.size() - 1);
  FrameCopyReduction small(memory, all);
  EXPECT_FALSE(RunInMemory(small, frames.shape, frames.data, frames.valid, {}).ok());
  memory.resize(frames.data.size());
  FrameCopyReduction other(memory, std::vector<uint8_t>(frames.count() - 1, 1));
  EXPECT_FALSE(RunInMemory(other, frames.shape, frames.data, frames.valid, {}).ok());
}

}  // namespace
}  // namespace penstock
