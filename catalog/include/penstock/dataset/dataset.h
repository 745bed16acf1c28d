// Dataset: a published dataset directory, opened for reading.
//
// Opening reads nexus.json only, and no block is looked at; image_key and the extent checksums are
// read when asked for. A const Dataset may be used from several threads.

#ifndef PENSTOCK_DATASET_DATASET_H_
#define PENSTOCK_DATASET_DATASET_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// Dataset::state() while the acquisition is being written. Blocks are there or not; image_key is 3
// for every frame of those that are not.
inline constexpr char kGrowingState[] = "growing";

struct BlockInfo {
  std::string relative_path;  // "data.zarr/real/c/0/0/0/0"
  uint64_t bytes = 0;
  std::string checksum;  // XXH3-128, 32 digits; "": not there yet, in a growing dataset
  BlockRegion region;
};

class Dataset {
 public:
  // kNotFound where there is no nexus.json, kCorrupt where it is damaged or contradicts itself,
  // kUnsupported for a layout version that this program does not know.
  static Result<Dataset> Open(const std::filesystem::path& directory);
  // The same from the text of a nexus.json; `directory` is only remembered.
  static Result<Dataset> FromNexusJson(const std::filesystem::path& directory,
                                       std::string_view nexus_json);

  const std::filesystem::path& directory() const;
  const DatasetShape& shape() const;
  const BlockGrid& grid() const;
  Compression compression() const;
  const std::vector<BlockInfo>& blocks() const;
  // Precondition: raw blocks; ChunkIndex is that of compressed ones.
  BlockLayout LayoutOfBlock(int64_t block) const;
  int64_t frames_expected() const;
  int64_t frames_received() const;
  const std::string& state() const;  // "sealed", or "growing" while it is being written
  // Changes whenever the dataset is written anew: XXH3-128 over nexus.json.
  const std::string& generation() const;
  const Json& nexus() const;  // all of nexus.json; made by the first call

  // Per frame in scan order: 0 valid, anything else not to be used.
  Result<std::vector<int32_t>> ReadImageKey() const;
  // One per detector pixel, C order, bits as in PixelMask; empty where the dataset has none.
  Result<std::vector<uint32_t>> ReadPixelMask() const;
  // Relative to the dataset.
  std::string ExtentChecksumPath() const;
  // [block][extent]
  Result<std::vector<std::vector<uint64_t>>> ReadExtentChecksums() const;

 private:
  struct State;
  explicit Dataset(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// True where the directory holds a nexus.json with a penstock collection. Cheap.
bool LooksLikeDataset(const std::filesystem::path& directory);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_DATASET_H_
