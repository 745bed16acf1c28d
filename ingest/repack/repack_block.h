// One block, read, proved, and written in another form.

#ifndef PENSTOCK_INGEST_REPACK_REPACK_BLOCK_H_
#define PENSTOCK_INGEST_REPACK_REPACK_BLOCK_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock::ingest {

struct RepackedBlock {
  BlockRecord record;
  std::string pixel_digest;  // XXH3-128 of the block's frames
};

// The journal's line of a finished block.
Json RepackedBlockToJson(const RepackedBlock& block);
// False where `line` is not one. Extent checksums are not in it.
bool RepackedBlockFromJson(const Json& line, RepackedBlock& block);

// One per worker; the references outlive it.
class BlockRepacker {
 public:
  // `image_key`: of the dataset, per frame.
  BlockRepacker(const Dataset& source, std::span<const int32_t> image_key, Compression compression,
                std::filesystem::path staging, ProgressSink& progress, std::stop_token stop);

  // kCorrupt where the source's block, or what was written, is not what it should be.
  Result<RepackedBlock> Write(int64_t block);
  // Reads a block that an earlier run wrote: kCorrupt where it is not what `known` says. Fills the
  // extent checksums in.
  Result<RepackedBlock> Verify(RepackedBlock known);

 private:
  Status ProveSource(int64_t block);
  Result<std::string> Convert(int64_t block, BlockWriter& writer);
  Result<std::string> DigestOfWritten(const BlockRecord& record);
  bool IsLost(int64_t frame, std::span<const std::byte> pixels) const;
  std::filesystem::path PathOf(int64_t block) const;

  const Dataset& source_;
  const std::span<const int32_t> image_key_;
  const Compression compression_;
  const std::filesystem::path staging_;
  ProgressSink& progress_;
  const std::stop_token stop_;
  const BlockGrid grid_;
  const int64_t tile_frames_;
  std::vector<std::byte> buffer_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_REPACK_REPACK_BLOCK_H_
