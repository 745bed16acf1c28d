#include "reader/io/frame_reader.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace penstock {

namespace {

// Below this share of pages in memory a partition is read past the page cache.
constexpr double kResidentEnough = 0.9;

// That is read at a time, about: as much as comes in the time in which one worker is done with it.
constexpr uint64_t kChunkBytes = uint64_t{1} << 20;

// Of a mapped partition that is verified on the way, so that what was hashed is still in the cache
// when it is processed. The number of frames keeps tiles whole.
constexpr uint64_t kVerifiedRunBytes = uint64_t{4} << 20;
constexpr uint64_t kVerifiedRunFrames = 32;

int64_t FramesOfVerifiedRun(uint64_t frame_bytes) {
  const uint64_t groups = kVerifiedRunBytes / frame_bytes / kVerifiedRunFrames;
  return static_cast<int64_t>(std::max<uint64_t>(groups, 1) * kVerifiedRunFrames);
}

}  // namespace

FrameReader::FrameReader(const Dataset& dataset, const ReadOptions& options,
                         const BlockSources& sources, int64_t tile_frames)
    : dataset_(dataset),
      options_(options),
      sources_(sources),
      tile_frames_(std::max<int64_t>(tile_frames, 1)),
      compressed_(dataset, tile_frames, options.buffer_bytes),
      check_(sources.verifier) {}

FrameReader::~FrameReader() { CloseBlock(); }

void FrameReader::CloseBlock() {
  chunks_.reset();  // waits for reads under way; its buffers go too
  compressed_.Close();
  mapped_.reset();
  residency_.Reset();
  direct_file_.Close();
  file_.Close();
  if (lease_) sources_.leases->Release(*std::exchange(lease_, std::nullopt));
  block_ = -1;
}

Status FrameReader::OpenBlock(int64_t block, bool by_path) {
  // Keep the buffers from block to block; Start of the next range waits for reads under way.
  std::unique_ptr<ChunkReader> chunks = std::move(chunks_);
  CloseBlock();
  chunks_ = std::move(chunks);
  layout_ = dataset_.LayoutOfBlock(block);
  path_ = dataset_.directory() / dataset_.blocks()[static_cast<size_t>(block)].relative_path;
  file_bytes_ = dataset_.blocks()[static_cast<size_t>(block)].bytes;
  direct_refused_ = false;
  if (sources_.leases != nullptr) lease_ = sources_.leases->Acquire(block, file_bytes_);
  if (!lease_) {
    if (!by_path) return Error::NotFound("the cache has no complete copy").In(path_.string());
    PENSTOCK_ASSIGN_OR_RETURN(file_, OpenFile(path_, O_RDONLY));
    PENSTOCK_ASSIGN_OR_RETURN(identity_, IdentifyFile(file_.get(), path_));
    if (identity_.size != file_bytes_) {
      return Error::Corrupt("the block file has the wrong size")
          .In(path_.string())
          .Expected(fmt::format("{} bytes", file_bytes_))
          .Found(fmt::format("{} bytes", identity_.size))
          .Advice("run `penstock verify` on the dataset");
    }
  }
  if (is_compressed()) PENSTOCK_RETURN_IF_ERROR(compressed_.Open(buffered(), block, path_));
  block_ = block;
  return Status::Ok();
}

bool FrameReader::OpenDirect() {
  if (direct_file_.valid()) return true;
  if (direct_refused_) return false;
  // A leased descriptor is opened again: O_DIRECT belongs to the open file, which may be shared.
  const std::filesystem::path name =
      lease_ ? std::filesystem::path(fmt::format("/proc/self/fd/{}", lease_->fd.get())) : path_;
  auto opened = OpenFile(name, O_RDONLY | O_DIRECT);
  if (opened.ok()) {
    direct_file_ = std::move(opened).value();
  } else {
    direct_refused_ = true;
  }
  return direct_file_.valid();
}

ChunkReader& FrameReader::Chunks() {
  if (chunks_ == nullptr) {
    chunks_ = std::make_unique<ChunkReader>(options_.request_bytes, options_.queue_depth,
                                            options_.backend != Backend::kPread);
  }
  return *chunks_;
}

// Past the page cache where a plain partition would be: as it is wanted, or where it is not there.
Status FrameReader::StartCompressed(bool ahead) {
  const bool direct = options_.backend == Backend::kDirect ||
                      (options_.backend == Backend::kAutomatic && !IsResident());
  backend_ = direct && begin_ < end_ && OpenDirect() ? Backend::kDirect : Backend::kPread;
  if (backend_ == Backend::kPread) return compressed_.Start(partition_.frames, ahead);
  check_.ReadDirect(direct_file_.get(), end_);
  PENSTOCK_RETURN_IF_ERROR(
      Chunks().Start({direct_file_.get(), begin_, end_, options_.buffer_bytes}, path_));
  return compressed_.Start(partition_.frames, ahead, chunks_.get());
}

Status FrameReader::StartChunks(bool direct) {
  direct = direct && OpenDirect();
  backend_ = direct ? Backend::kDirect : Backend::kPread;
  // Bytes behind the partition that are only verified come along.
  read_end_ = check_.wanted_end();
  check_.ReadDirect(direct ? direct_file_.get() : -1, read_end_);
  return Chunks().Start({direct ? direct_file_.get() : buffered(), begin_, read_end_, ChunkBytes()},
                        path_);
}

// Whole tiles, and no more than keep the disk busy. Fewer frames where the buffer holds no more.
uint64_t FrameReader::ChunkBytes() const {
  const uint64_t tile = static_cast<uint64_t>(tile_frames_) * layout_.frame_bytes;
  const uint64_t tiles = std::max<uint64_t>(kChunkBytes / tile, 1) * tile;
  if (tiles <= options_.buffer_bytes) return tiles;
  return std::max<uint64_t>(options_.buffer_bytes / layout_.frame_bytes, 1) * layout_.frame_bytes;
}

bool FrameReader::MapBlock() {
  if (mapped_ != nullptr && !mapped_->lost()) return true;
  mapped_.reset();
  // A leased block is given back with its lease, so that the cache may remove it.
  if (sources_.mapped != nullptr && !lease_) {
    mapped_ = sources_.mapped->Get(block_, file_.get(), identity_, path_);
  } else if (auto mapped = MappedFile::Map(buffered(), file_bytes_, path_); mapped.ok()) {
    mapped_ = std::make_shared<MappedBlock>(std::move(mapped).value());
  }
  return mapped_ != nullptr;  // null: a file system without shared mappings
}

// That all that was read of the mapping so far was there. The last page of a file that is cut short
// reads as zeros and is lost without a signal, so that the size counts, too.
Status FrameReader::CheckMapped() const {
  if (const auto lost = mapped_->lost()) {
    return LostPageError(buffered(), *lost, file_bytes_, path_);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity now, IdentifyFile(buffered(), path_));
  return now.size >= end_ ? Status::Ok() : LostPageError(buffered(), now.size, file_bytes_, path_);
}

bool FrameReader::IsResident() {
  const double share = residency_.Share(buffered(), begin_, end_);
  if (share >= 0) return share >= kResidentEnough;
  return MapBlock() && mapped_->ResidentShare(begin_, end_) >= kResidentEnough;
}

void FrameReader::GoTo(const Partition& partition) {
  partition_ = partition;
  next_frame_ = partition.frames.first;
  if (is_compressed()) {
    const CompressedFrames::StoredRange stored = compressed_.StoredBytesOf(partition.frames);
    begin_ = stored.begin;
    end_ = stored.end;
    return;
  }
  const auto first = static_cast<uint64_t>(partition.frames.first - layout_.region.first_frame);
  const auto last = static_cast<uint64_t>(partition.frames.last - layout_.region.first_frame);
  begin_ = kPayloadStart + first * layout_.frame_bytes;
  end_ = kPayloadStart + last * layout_.frame_bytes;
}

Locality FrameReader::LocalityOf(const Partition& partition) {
  if (partition.block != block_ &&
      !OpenBlock(partition.block, /*by_path=*/sources_.leases == nullptr).ok()) {
    return Locality::kFar;
  }
  GoTo(partition);
  return IsResident() ? Locality::kMemory : Locality::kDisk;
}

// True where the partition can be read through a mapping and, under kAutomatic, is in memory.
Result<bool> FrameReader::TryMapped() {
  if (options_.backend == Backend::kAutomatic) {
    if (!IsResident()) return false;
  }
  if (!MapBlock()) return false;
  // What can't be brought in is read instead, which either works or names the offset.
  return mapped_->Bring(begin_, end_).ok();
}

Status FrameReader::Start(const Partition& partition, bool alone) {
  if (partition.block != block_) PENSTOCK_RETURN_IF_ERROR(OpenBlock(partition.block));
  GoTo(partition);
  check_.Begin(block_,
               {.file_bytes = file_bytes_,
                .payload_start = is_compressed() ? 0 : kPayloadStart,
                .frames_of_extent = [this](int64_t extent) { return FramesOfExtent(extent); },
                .fd = buffered(),
                .path = &path_,
                .begin = begin_,
                .end = end_},
               alone);
  if (is_compressed()) return StartCompressed(!alone);
  if (options_.backend == Backend::kAutomatic || options_.backend == Backend::kMmap) {
    PENSTOCK_ASSIGN_OR_RETURN(const bool mapped, TryMapped());
    if (mapped) {
      backend_ = Backend::kMmap;
      return Status::Ok();
    }
  }
  return StartChunks(options_.backend == Backend::kAutomatic ||
                     options_.backend == Backend::kDirect);
}

void FrameReader::CountPartition(PassSummary& summary) const {
  switch (backend_) {
    case Backend::kMmap:
      ++summary.partitions_mapped;
      break;
    case Backend::kDirect:
      ++summary.partitions_direct;
      break;
    default:
      ++summary.partitions_pread;
  }
  if (lease_) ++summary.partitions_leased;
}

FrameRange FrameReader::FramesOfExtent(int64_t extent) const {
  return is_compressed() ? compressed_.index().FramesOfExtent(extent)
                         : layout_.FramesOfExtent(extent);
}

Result<std::span<const std::byte>> FrameReader::NextChunk() {
  auto chunk = chunks_->Next();
  if (!chunk.ok() && IsRefusedDirectRead(chunk.error())) {
    PENSTOCK_RETURN_IF_ERROR(StartChunks(false));
    chunk = chunks_->Next();
  }
  if (!chunk.ok()) {
    return std::move(chunk).error().At(
        fmt::format("frames {}-{}", next_frame_, partition_.frames.last - 1));
  }
  return *chunk;
}

// What was read behind the last frame.
Status FrameReader::FinishChunks() {
  while (true) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> chunk, chunks_->Next());
    if (chunk.empty()) return Status::Ok();
    PENSTOCK_RETURN_IF_ERROR(check_.Update(chunk));
  }
}

// The first read of a partition, where the file system took the flag and refuses the read, as some
// do: then it is read again through the page cache, as all that come.
bool FrameReader::IsRefusedDirectRead(const Error& error) {
  if (error.system_errno() != EINVAL || backend_ != Backend::kDirect ||
      next_frame_ != partition_.frames.first) {
    return false;
  }
  direct_file_.Close();
  direct_refused_ = true;
  backend_ = Backend::kPread;
  return true;
}

bool FrameReader::HasAskedForAll() const {
  return backend_ == Backend::kDirect && chunks_ != nullptr && chunks_->HasAskedForAll();
}

Result<FrameRun> FrameReader::Next() {
  FrameRun run;
  run.first_frame = next_frame_;
  if (next_frame_ == partition_.frames.last) {
    if (backend_ == Backend::kMmap) {
      PENSTOCK_RETURN_IF_ERROR(CheckMapped());
    } else if (check_.active() && !is_compressed()) {
      PENSTOCK_RETURN_IF_ERROR(FinishChunks());
    }
    return run;
  }
  if (is_compressed()) {
    auto decoded_run = compressed_.Next(check_);
    if (!decoded_run.ok() && IsRefusedDirectRead(decoded_run.error())) {
      check_.ReadDirect(-1, end_);
      PENSTOCK_RETURN_IF_ERROR(compressed_.Start(partition_.frames, /*ahead=*/false));
      decoded_run = compressed_.Next(check_);
    }
    PENSTOCK_ASSIGN_OR_RETURN(const CompressedFrames::Run decoded, std::move(decoded_run));
    run.frame_count = decoded.frame_count;
    run.pixels = decoded.pixels;
    next_frame_ += run.frame_count;
    return run;
  }
  const int64_t frames_left = partition_.frames.last - next_frame_;
  if (backend_ == Backend::kMmap) {
    run.frame_count = frames_left;
    if (check_.active()) {
      run.frame_count = std::min(run.frame_count, FramesOfVerifiedRun(layout_.frame_bytes));
    }
    run.pixels = mapped_->data() + begin_ +
                 static_cast<uint64_t>(next_frame_ - partition_.frames.first) * layout_.frame_bytes;
    const Status verified =
        check_.Update({run.pixels, static_cast<uint64_t>(run.frame_count) * layout_.frame_bytes});
    // Why the bytes are wrong counts for more than that they are.
    if (!verified.ok()) PENSTOCK_RETURN_IF_ERROR(CheckMapped());
    PENSTOCK_RETURN_IF_ERROR(verified);
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> chunk, NextChunk());
    run.frame_count =
        std::min(static_cast<int64_t>(chunk.size() / layout_.frame_bytes), frames_left);
    run.pixels = chunk.data();
    PENSTOCK_RETURN_IF_ERROR(check_.Update(chunk));
  }
  next_frame_ += run.frame_count;
  return run;
}

}  // namespace penstock
