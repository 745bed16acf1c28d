#include "reader/io/read_depth.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace penstock {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Reads `gibibytes` from a disk that gives `rate(depth)` GiB/s.
template <typename Rate>
void Read(ReadDepth& depth, int gibibytes, Rate rate, bool waited = true) {
  for (int i = 0; i < gibibytes * 256; ++i) {
    depth.Observe(4 * kMiB, 4.0 / 1024 / rate(depth.depth()), waited);
  }
}

TEST(ReadDepthTest, GrowsWhileTheRateDoes) {
  ReadDepth depth(4, 64, false);
  Read(depth, 4, [](int d) { return d < 16 ? 0.5 * d : 8.0; });
  EXPECT_EQ(depth.depth(), 16);
}

TEST(ReadDepthTest, StaysWhereMoreBringsNothing) {
  ReadDepth depth(4, 64, false);
  Read(depth, 4, [](int) { return 2.0; });
  EXPECT_EQ(depth.depth(), 4);
}

TEST(ReadDepthTest, GoesBackWhereMoreIsWorse) {
  ReadDepth depth(4, 64, false);
  Read(depth, 4, [](int d) { return d > 4 ? 1.0 : 2.0; });
  EXPECT_EQ(depth.depth(), 4);
}

TEST(ReadDepthTest, NeverMoreThanTheBuffersHold) {
  ReadDepth depth(4, 8, false);
  Read(depth, 4, [](int d) { return 0.5 * d; });
  EXPECT_EQ(depth.depth(), 8);
  ReadDepth small(4, 2, false);
  EXPECT_EQ(small.depth(), 2);
}

TEST(ReadDepthTest, IsNotMovedByACallerWhoIsSlower) {
  ReadDepth depth(4, 64, false);
  Read(
      depth, 8, [](int d) { return 0.5 * d; }, /*waited=*/false);
  EXPECT_EQ(depth.depth(), 4);
}

TEST(ReadDepthTest, TriesAgainLater) {
  ReadDepth depth(4, 64, false);
  Read(depth, 2, [](int) { return 2.0; });
  EXPECT_EQ(depth.depth(), 4);
  Read(depth, 40, [](int d) { return 0.5 * d; });
  EXPECT_GE(depth.depth(), 8);
}

TEST(ReadDepthTest, AFixedDepthIsKept) {
  ReadDepth depth(3, 64, true);
  Read(depth, 4, [](int d) { return 0.5 * d; });
  EXPECT_EQ(depth.depth(), 3);
}

}  // namespace
}  // namespace penstock
