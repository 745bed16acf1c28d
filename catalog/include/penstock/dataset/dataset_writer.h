// Writing a dataset directory: blocks first, then everything that describes them.
//
// The caller owns the staging directory and publishes it by rename; nothing here is atomic by
// itself. Order: any number of BlockWriter (in any order, from several threads, one object per
// thread), then one WriteDescription.

#ifndef PENSTOCK_DATASET_DATASET_WRITER_H_
#define PENSTOCK_DATASET_DATASET_WRITER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/statistics.h"

namespace penstock {

struct BlockRecord {
  int64_t block = 0;
  uint64_t bytes = 0;
  std::string checksum;                   // XXH3-128 of the file
  std::vector<uint64_t> extent_checksum;  // XXH3-64 of every 4 MiB
};

// Writes one block file, hashing on the way: NAME.part, direct I/O where the file system has it,
// sync, rename to NAME, mode 0444. Frames are appended in order; writing runs on a thread of its
// own in parallel with the caller. A writer that is destroyed before Finish removes NAME.part.
// Compressed blocks are compressed on the way, in the caller's thread. After an error (kNoSpace,
// kIo, ...) the writer is of no more use.
class BlockWriter {
 public:
  // Memory that one writer holds: two buffers of 4 MiB and a tile each; for compressed blocks a
  // tile and two inner chunks beside the two buffers.
  static uint64_t MemoryBytes(const DatasetShape& shape, const BlockGrid& grid, int64_t tile_frames,
                              Compression compression);

  // `tile_frames`: the largest number of frames asked for at once by FrameBuffer. kUnsupported for
  // frames that are too large to be compressed.
  static Result<BlockWriter> Create(const std::filesystem::path& dataset_directory,
                                    const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                                    int64_t tile_frames,
                                    Compression compression = Compression::kNone);
  ~BlockWriter();
  BlockWriter(BlockWriter&&) noexcept;
  BlockWriter& operator=(BlockWriter&&) noexcept;

  // Room for the next `frames` frames, directly in the write buffer; valid until the next call.
  // Fill it, then call Append with the same number. Aligned for the element type only.
  std::span<std::byte> FrameBuffer(int64_t frames);
  // Takes the frames in the buffer and hashes them; full pages are written.
  Status Append(int64_t frames);
  // The next `frames` frames are missing: a hole (they read as zero). Of a compressed block an
  // inner chunk of missing frames alone is absent, others hold zeros for them.
  Status AppendMissing(int64_t frames);
  // Pads, writes the shard index, syncs and renames. Precondition: all frames were appended.
  Result<BlockRecord> Finish();

 private:
  struct State;
  explicit BlockWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Writes what the statistics arrays say of one block (data.zarr/statistics, creating the files
// where they are not there yet). The arrays are plain files with one place per frame and block, so
// that any number of threads may call this for different blocks, and a resumed ingest finds the
// statistics of the blocks that it keeps. Not synced: WriteDescription does that.
Status WriteBlockStatistics(const std::filesystem::path& dataset_directory,
                            const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                            const BlockStatistics& statistics);

// Everything per dataset that WriteDescription needs besides the description.
struct DatasetContents {
  // In block order, all of them; of a growing dataset, blocks that are not there yet have neither
  // checksum nor extent checksums.
  std::vector<BlockRecord> blocks;
  // In block order, or empty where WriteBlockStatistics was called for every block (which is what
  // keeps memory bounded for large datasets).
  std::vector<BlockStatistics> statistics;
  std::vector<int32_t> image_key;                // per frame in scan order: 0 valid, 3 invalid
  bool growing = false;                          // the acquisition is still being written
  Compression compression = Compression::kNone;  // of the blocks
};

// Writes the Zarr metadata and small arrays, nexus.json, data.nxs (up to 512 blocks) and last
// checksums.xxh128 over every file present, previews included. Files are synced.
Status WriteDescription(const std::filesystem::path& dataset_directory,
                        const DatasetDescription& description, const DatasetContents& contents);

// The same for a dataset that readers may open while it is being written (docs/layout.md, "Growing
// datasets"): nexus.json says so, blocks may be absent, there are no checksums.xxh128. For a
// staging directory. Precondition: contents.growing, contents.statistics empty.
Status WriteGrowingDescription(const std::filesystem::path& dataset_directory,
                               const DatasetDescription& description,
                               const DatasetContents& contents);

// Brings a growing dataset that is published already up to date, each file by one rename, in an
// order that lets no reader see a frame as valid whose block is not there. Precondition: the block
// files of `contents` are in their places.
Status UpdateGrowingDescription(const std::filesystem::path& dataset_directory,
                                const DatasetDescription& description,
                                const DatasetContents& contents);

// The files of data.zarr/statistics in their full size, of zeros, where they are not there yet.
Status CreateStatistics(const std::filesystem::path& dataset_directory, const DatasetShape& shape,
                        const BlockGrid& grid);

// The files in which WriteBlockStatistics leaves what it says of one block, relative to the
// dataset; most of them are shared by all blocks.
std::vector<std::string> StatisticsFiles(const DatasetShape& shape, const BlockGrid& grid,
                                         int64_t block);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_DATASET_WRITER_H_
