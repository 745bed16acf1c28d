#include "cachefs/handover/mount_state.h"

#include <gtest/gtest.h>

#include <memory>

namespace penstock::cachefs {

namespace {

MountState SomeState() {
  auto block = std::make_shared<BlockSource>();
  block->id = "0123";
  block->dataset = "scan";
  block->generation = "first";
  block->block = 3;
  block->path = "scan/3";
  block->file_bytes = 5'000'000;
  block->extent_checksum = {1, UINT64_MAX};
  auto dataset = std::make_shared<DatasetView>();
  dataset->path = "scan";
  dataset->generation = "first";
  dataset->sidecar = {.device = 1, .inode = 2, .size = 3, .mtime_ns = -4, .ctime_ns = 5};
  dataset->compression = Compression::kZstd;
  dataset->blocks = {block};
  dataset->regions = {
      {.first_row = 1, .row_count = 2, .first_column = 3, .column_count = 4, .first_frame = 5}};
  auto face = std::make_shared<Face>();
  face->kind = FaceKind::kNpy;
  face->dataset = "scan";
  face->header_bytes = 4096;
  const DatasetShape shape{.scan = {.rows = 4, .columns = 5, .is_series = false},
                           .signal = {.rows = 6, .columns = 7},
                           .element_type = ElementType::kUint16};
  face->layout = FaceLayout(
      shape,
      {.block_rows = 2, .block_columns = 5, .grid_rows = 2, .grid_columns = 1, .inner_columns = 5},
      4096);
  face->total_bytes = face->layout.total_bytes();

  MountState state;
  state.init_request = std::string("\x00\x01\xff", 3);
  state.passthrough = true;
  state.next_node = 17;
  state.next_handle = 18;
  struct stat shown {};
  shown.st_size = 42;
  state.nodes = {{.id = 2,
                  .path = "scan/3",
                  .lookups = 5,
                  .current = true,
                  .type = S_IFREG,
                  .device = 7,
                  .inode = 8,
                  .block = block,
                  .face = nullptr,
                  .backing_id = 9,
                  .shown = shown},
                 {.id = 3,
                  .path = "scan/data.npy",
                  .lookups = 1,
                  .current = false,
                  .type = S_IFREG,
                  .device = 0,
                  .inode = 0,
                  .block = nullptr,
                  .face = face,
                  .backing_id = 0,
                  .shown = {}}};
  state.files = {{.handle = 11,
                  .node = 2,
                  .passthrough = true,
                  .in_store = true,
                  .face_header = "",
                  .dataset = nullptr},
                 {.handle = 12,
                  .node = 3,
                  .passthrough = false,
                  .in_store = false,
                  .face_header = "header",
                  .dataset = dataset}};
  state.listings = {{.handle = 13, .entries = {{.name = "na\xffme", .type = S_IFDIR, .inode = 1}}}};
  state.service_environment = {"NOTIFY_SOCKET=@x"};
  return state;
}

}  // namespace

TEST(MountState, ComesThroughAsItWas) {
  const auto state = DecodeMountState(EncodeMountState(SomeState()));
  ASSERT_TRUE(state.ok()) << state.error().ToString();
  EXPECT_EQ(state->init_request, std::string("\x00\x01\xff", 3));
  EXPECT_TRUE(state->passthrough);
  EXPECT_EQ(state->next_node, 17U);
  EXPECT_EQ(state->next_handle, 18U);
  ASSERT_EQ(state->nodes.size(), 2U);
  EXPECT_EQ(state->nodes[0].path, "scan/3");
  EXPECT_EQ(state->nodes[0].lookups, 5U);
  EXPECT_TRUE(state->nodes[0].current);
  EXPECT_EQ(state->nodes[0].type, mode_t{S_IFREG});
  EXPECT_EQ(state->nodes[0].backing_id, 9);
  EXPECT_EQ(state->nodes[0].shown.st_size, 42);
  ASSERT_TRUE(state->nodes[0].block);
  EXPECT_EQ(state->nodes[0].block->extent_checksum, (std::vector<uint64_t>{1, UINT64_MAX}));
  EXPECT_EQ(state->nodes[0].block->file_bytes, 5'000'000U);
  EXPECT_FALSE(state->nodes[0].face);
  ASSERT_TRUE(state->nodes[1].face);
  EXPECT_EQ(state->nodes[1].face->kind, FaceKind::kNpy);
  EXPECT_EQ(state->nodes[1].face->layout.total_bytes(), 4096U + 4 * 5 * 6 * 7 * 2);
  EXPECT_EQ(state->nodes[1].face->layout.grid(), SomeState().nodes[1].face->layout.grid());
  ASSERT_EQ(state->files.size(), 2U);
  EXPECT_EQ(state->files[1].face_header, "header");
  ASSERT_TRUE(state->files[1].dataset);
  EXPECT_EQ(state->files[1].dataset->blocks.front(), state->nodes[0].block);  // one object
  EXPECT_EQ(state->files[1].dataset->block_of_path.at("scan/3"), 3);
  EXPECT_EQ(state->files[1].dataset->sidecar.mtime_ns, -4);
  EXPECT_EQ(state->files[1].dataset->compression, Compression::kZstd);
  EXPECT_EQ(state->files[1].dataset->regions, SomeState().files[1].dataset->regions);
  ASSERT_EQ(state->listings.size(), 1U);
  EXPECT_EQ(state->listings[0].entries.at(0).name, "na\xffme");
  EXPECT_EQ(state->service_environment.at(0), "NOTIFY_SOCKET=@x");
}

TEST(MountState, WhatIsNotWholeIsRefused) {
  const std::string bytes = EncodeMountState(SomeState());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeMountState(std::string_view(bytes).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeMountState(bytes + "x").ok());
}

TEST(MountState, AnotherVersionIsRefused) {
  std::string bytes = EncodeMountState(SomeState());
  bytes[std::string("penstock mount state").size()] = 3;
  const auto state = DecodeMountState(bytes);
  ASSERT_FALSE(state.ok());
  EXPECT_EQ(state.error().kind(), ErrorKind::kUnsupported);
}

}  // namespace penstock::cachefs
