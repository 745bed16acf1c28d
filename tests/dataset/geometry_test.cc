#include "penstock/dataset/geometry.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

DatasetShape Shape(int64_t scan_rows, int64_t scan_columns, int64_t rows, int64_t columns,
                   ElementType type = ElementType::kUint16, bool is_series = false) {
  return {.scan = {.rows = scan_rows, .columns = scan_columns, .is_series = is_series},
          .signal = {.rows = rows, .columns = columns},
          .element_type = type};
}

TEST(DatasetShapeTest, RefusesImpossibleAxes) {
  EXPECT_TRUE(Shape(1, 1, 1, 1).Validate().ok());
  EXPECT_FALSE(Shape(0, 1, 1, 1).Validate().ok());
  EXPECT_FALSE(Shape(1, 1, 1, -5).Validate().ok());
  EXPECT_FALSE(Shape(2, 3, 1, 1, ElementType::kUint8, true).Validate().ok());
  const int64_t huge = int64_t{1} << 31;
  EXPECT_TRUE(Shape(huge, huge, 1, 1, ElementType::kUint8).Validate().ok());
  EXPECT_FALSE(Shape(huge, huge, 2, 1, ElementType::kUint16).Validate().ok());
  EXPECT_FALSE(Shape(huge * huge - 1, huge * huge - 1, 1, 1).Validate().ok());
}

TEST(BlockGridTest, WholeRowsWhereTheyFit) {
  // 512 columns of 128 KiB frames are 64 MiB: four rows in 256 MiB.
  const DatasetShape shape = Shape(10, 512, 256, 256);
  const auto grid = ChooseBlockGrid(shape, kDefaultBlockBytes);
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(*grid, (BlockGrid{.block_rows = 4,
                              .block_columns = 512,
                              .grid_rows = 3,
                              .grid_columns = 1,
                              .inner_columns = 16}));
  EXPECT_EQ(RegionOfBlock(shape, *grid, 2), (BlockRegion{.first_row = 8,
                                                         .row_count = 2,
                                                         .first_column = 0,
                                                         .column_count = 512,
                                                         .first_frame = 4096}));
  EXPECT_EQ(BlockOfFrame(shape, *grid, 4095), 1);
  EXPECT_EQ(BlockOfFrame(shape, *grid, 4096), 2);
  EXPECT_EQ(BlockRelativePath(shape, *grid, 2), "data.zarr/real/c/2/0/0/0");
}

TEST(BlockGridTest, PartsOfARowWhereItDoesNotFit) {
  const DatasetShape shape = Shape(3, 10, 1024, 1024);  // 2 MiB frames
  const auto grid = ChooseBlockGrid(shape, uint64_t{8} << 20);
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(*grid, (BlockGrid{.block_rows = 1,
                              .block_columns = 4,
                              .grid_rows = 3,
                              .grid_columns = 3,
                              .inner_columns = 1}));
  EXPECT_EQ(RegionOfBlock(shape, *grid, 5), (BlockRegion{.first_row = 1,
                                                         .row_count = 1,
                                                         .first_column = 8,
                                                         .column_count = 2,
                                                         .first_frame = 18}));
  EXPECT_EQ(BlockOfFrame(shape, *grid, 19), 5);
  EXPECT_EQ(BlockRelativePath(shape, *grid, 5), "data.zarr/real/c/1/2/0/0");
}

TEST(BlockGridTest, AFrameLargerThanABlockIsABlock) {
  const auto grid = ChooseBlockGrid(Shape(2, 2, 64, 64), 100);
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(grid->block_rows, 1);
  EXPECT_EQ(grid->block_columns, 1);
  EXPECT_EQ(grid->block_count(), 4);
}

TEST(BlockGridTest, ASeriesIsCutAlongItsOneAxis) {
  const DatasetShape shape = Shape(1, 100, 64, 64, ElementType::kUint8, true);
  const auto grid = ChooseBlockGrid(shape, 30 * 4096);
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(grid->block_columns, 30);
  EXPECT_EQ(grid->inner_columns, 10);  // divides 100 and 30
  EXPECT_EQ(BlockRelativePath(shape, *grid, 3), "data.zarr/real/c/3/0/0");
}

// Every frame is in exactly one block, in order, and no inner chunk is ragged, whatever the shape.
TEST(BlockGridTest, BlocksTileTheScan) {
  for (const int64_t rows : {1, 2, 7, 37}) {
    for (const int64_t columns : {1, 2, 31, 32, 60, 97}) {
      for (const uint64_t target : {1, 4096, 3 * 4096, 50 * 4096, 1000 * 4096, 100000 * 4096}) {
        const DatasetShape shape = Shape(rows, columns, 64, 64, ElementType::kUint8);
        const auto grid = ChooseBlockGrid(shape, target);
        ASSERT_TRUE(grid.ok());
        ASSERT_TRUE(ValidateBlockGrid(shape, *grid).ok());
        int64_t next = 0;
        for (int64_t block = 0; block < grid->block_count(); ++block) {
          const BlockRegion region = RegionOfBlock(shape, *grid, block);
          ASSERT_EQ(region.first_frame, next);
          ASSERT_GT(region.frame_count(), 0);
          ASSERT_EQ(region.column_count % grid->inner_columns, 0);
          ASSERT_EQ(BlockOfFrame(shape, *grid, next), block);
          next += region.frame_count();
          ASSERT_EQ(BlockOfFrame(shape, *grid, next - 1), block);
        }
        ASSERT_EQ(next, shape.frame_count());
      }
    }
  }
}

TEST(BlockGridTest, RefusesAGridThatDoesNotFit) {
  const DatasetShape shape = Shape(8, 12, 4, 4);
  BlockGrid grid = *ChooseBlockGrid(shape, 24 * 32);
  EXPECT_EQ(grid.block_rows, 2);
  EXPECT_TRUE(ValidateBlockGrid(shape, grid).ok());
  BlockGrid wrong = grid;
  wrong.block_columns = 6;  // neither whole rows nor one row
  EXPECT_FALSE(ValidateBlockGrid(shape, wrong).ok());
  wrong = grid;
  wrong.inner_columns = 5;
  EXPECT_FALSE(ValidateBlockGrid(shape, wrong).ok());
  wrong = grid;
  wrong.grid_rows = 5;
  EXPECT_FALSE(ValidateBlockGrid(shape, wrong).ok());
  wrong = grid;
  wrong.inner_columns = 0;
  EXPECT_FALSE(ValidateBlockGrid(shape, wrong).ok());
}

}  // namespace
}  // namespace penstock
