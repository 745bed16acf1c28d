// FrameReader: the frames of one partition after another, by whichever back end suits.

#ifndef PENSTOCK_READER_IO_FRAME_READER_H_
#define PENSTOCK_READER_IO_FRAME_READER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "reader/io/block_sources.h"
#include "reader/io/chunk_reader.h"
#include "reader/io/compressed_frames.h"
#include "reader/io/extent_verifier.h"
#include "reader/io/lease_client.h"
#include "reader/io/mapped_blocks.h"
#include "reader/io/partition_reader.h"
#include "reader/io/residency_probe.h"

namespace penstock {

// One per worker, not thread-safe. Keeps its buffers, and the block of the last partition open.
class FrameReader final : public PartitionReader {
 public:
  // What `sources` points to must outlive the reader. `tile_frames`: runs of frames are made
  // of whole tiles, where buffers hold them; 0: any.
  FrameReader(const Dataset& dataset, const ReadOptions& options, const BlockSources& sources,
              int64_t tile_frames = 0);
  ~FrameReader() override;
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // What keeps the reader from saying so (a block that is not there) is found out again by Start.
  Locality LocalityOf(const Partition& partition) override;

  // kCorrupt where the block file has not the size that the sidecar says.
  Status Start(const Partition& partition, bool alone) override;
  // The partition may only be used once the empty run has come without an error: then it is
  // verified, and nothing was lost of a mapped block, which reads as zeros where it is cut short
  // meanwhile.
  Result<FrameRun> Next() override;
  bool HasAskedForAll() const override;

  void CountPartition(PassSummary& summary) const override;
  int64_t extents_verified() const override { return check_.verified_count(); }

 private:
  // `by_path`: also where the cache daemon has no descriptor of it.
  Status OpenBlock(int64_t block, bool by_path = true);
  int buffered() const { return lease_ ? lease_->fd.get() : file_.get(); }
  void CloseBlock();
  void GoTo(const Partition& partition);
  bool MapBlock();
  Status CheckMapped() const;
  bool IsResident();
  Result<bool> TryMapped();
  Status StartChunks(bool direct);
  Result<std::span<const std::byte>> NextChunk();
  Status FinishChunks();
  Status StartCompressed(bool ahead);
  ChunkReader& Chunks();
  uint64_t ChunkBytes() const;
  bool OpenDirect();
  bool IsRefusedDirectRead(const Error& error);
  FrameRange FramesOfExtent(int64_t extent) const;
  bool is_compressed() const { return dataset_.compression() != Compression::kNone; }

  const Dataset& dataset_;
  const ReadOptions& options_;
  const BlockSources sources_;
  const int64_t tile_frames_;

  int64_t block_ = -1;
  BlockLayout layout_;  // of raw frames
  uint64_t file_bytes_ = 0;
  std::filesystem::path path_;
  FileDescriptor file_;    // by path; not open where there is a lease
  FileIdentity identity_;  // of file_
  std::optional<BlockLease> lease_;
  FileDescriptor direct_file_;
  bool direct_refused_ = false;
  std::shared_ptr<MappedBlock> mapped_;
  ResidencyProbe residency_;
  std::unique_ptr<ChunkReader> chunks_;
  CompressedFrames compressed_;
  ExtentCheck check_;

  Partition partition_;
  // How the current partition is read: kMmap, kDirect or kPread; not the first where blocks are
  // compressed.
  Backend backend_ = Backend::kPread;
  int64_t next_frame_ = 0;
  uint64_t begin_ = 0;  // file offsets of the partition
  uint64_t end_ = 0;
  uint64_t read_end_ = 0;  // where chunks are read: beyond end_ by what is only verified
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_FRAME_READER_H_
