// How a pass cuts frames of different sizes into tiles.

#include "reader/pass_input.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

PassPlan PlanOf(int64_t side, ElementType type, size_t reductions = 1) {
  PassInput input;
  input.shape = {{64, 64, false}, {side, side}, type};
  return MakePlan(input, input.shape, {}, reductions);
}

TEST(PassInput, TilesHaveFramesThatKernelsTakeAtOnce) {
  // Of 192 x 192 pixels 28 and 14 frames would be 1 MiB.
  EXPECT_EQ(PlanOf(192, ElementType::kUint8).tile_frames, 16);
  EXPECT_EQ(PlanOf(192, ElementType::kUint16).tile_frames, 8);
  EXPECT_EQ(PlanOf(96, ElementType::kUint8).tile_frames, 112);
  EXPECT_EQ(PlanOf(256, ElementType::kUint8).tile_frames, 16);
  EXPECT_EQ(PlanOf(256, ElementType::kUint16).tile_frames, 8);
  EXPECT_EQ(PlanOf(128, ElementType::kFloat32, 2).tile_frames, 8);
}

TEST(PassInput, LargeFramesAreCut) {
  EXPECT_EQ(PlanOf(515, ElementType::kUint16).tile_frames, 8);
  EXPECT_EQ(PlanOf(515, ElementType::kUint16).tile_pixels, 65536);
  EXPECT_EQ(PlanOf(2048, ElementType::kUint16).tile_frames, 32);
  EXPECT_EQ(PlanOf(2048, ElementType::kUint16).tile_pixels, 16384);
}

TEST(PassInput, PartitionsAreWholeTiles) {
  for (const int64_t side : {96, 192, 250, 2048}) {
    const PassPlan plan = PlanOf(side, ElementType::kUint8);
    EXPECT_EQ(plan.partition_frames % plan.tile_frames, 0) << side;
  }
}

TEST(PassInput, WhoAsksForFramesGetsThem) {
  PassInput input;
  input.shape = {{64, 64, false}, {2048, 2048}, ElementType::kUint16};
  PassOptions options;
  options.tile_frames = 3;
  EXPECT_EQ(MakePlan(input, input.shape, options, 1).tile_frames, 3);
  input.tile_frames = 5;
  EXPECT_EQ(MakePlan(input, input.shape, {}, 1).tile_frames, 5);
}

}  // namespace
}  // namespace penstock
