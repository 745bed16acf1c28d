// PassInput: what a pass goes over, whoever gives the frames; and how it is divided.

#ifndef PENSTOCK_READER_PASS_INPUT_H_
#define PENSTOCK_READER_PASS_INPUT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "penstock/dataset/geometry.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "reader/io/partition_reader.h"
#include "reader/partition_plan.h"

namespace penstock {

struct PassInput {
  DatasetShape shape;
  std::string name{};                // for errors
  std::vector<FrameRange> blocks{};  // that no partition reaches beyond
  std::span<const int32_t> image_key{};
  std::shared_ptr<const std::vector<uint8_t>> good_pixels{};
  bool nearest_first = false;  // where the order makes no difference
  // What suits whoever gives the frames; 0: any.
  int64_t tile_frames = 0;
  int64_t tile_pixels = 0;
  int64_t pixel_unit = 0;
  std::shared_ptr<const std::vector<uint32_t>> pixel_order{};  // as PassPlan has it
  int64_t packed_run = 0;                                      // the same
  PartitionEnds partition_ends{};
  // Whether the block may not be there: then nothing of it is read where no frame is valid.
  std::function<bool(int64_t block)> may_be_absent{};
  // `whole`: somebody wants whole frames. Called by every worker.
  std::function<std::unique_ptr<PartitionReader>(const PassPlan&, bool whole)> make_reader{};
};

// As many pixels as a tile of whole frames has, rounded up as PassPlan::tile_pixels is.
int64_t TilePixelsOfWholeFrame(const DatasetShape& shape);

// Tiles and partitions. The input decides how many frames go together, `shape` (of frames as they
// are stored, or as they are seen) how many pixels. `reductions`: that share the pass.
PassPlan MakePlan(const PassInput& input, const DatasetShape& shape, const PassOptions& options,
                  size_t reductions);

}  // namespace penstock

#endif  // PENSTOCK_READER_PASS_INPUT_H_
