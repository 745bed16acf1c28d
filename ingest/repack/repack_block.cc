#include "ingest/repack/repack_block.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/dataset/block_frames.h"
#include "penstock/dataset/checksum.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kBufferBytes = uint64_t{4} << 20;

struct FileDigests {
  std::string checksum;
  std::vector<uint64_t> extents;
};

Error Stopped() { return Error::Cancelled("stopped"); }

// kCorrupt where the file has not `bytes` bytes.
Result<FileDigests> HashBlock(const std::filesystem::path& path, uint64_t bytes,
                              std::span<std::byte> buffer, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  if (identity.size != bytes) {
    return Error::Corrupt("the block file has the wrong size")
        .In(path.string())
        .Expected(fmt::format("{} bytes", bytes))
        .Found(fmt::format("{} bytes", identity.size));
  }
  FileHasher file;
  ExtentHasher extents;
  for (uint64_t at = 0; at < bytes;) {
    if (stop.stop_requested()) return Stopped();
    const auto part = buffer.first(std::min<uint64_t>(buffer.size(), bytes - at));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), at, part, path));
    file.Update(part);
    extents.Update(part);
    at += part.size();
  }
  return FileDigests{.checksum = file.HexDigest(), .extents = extents.Finish()};
}

}  // namespace

Json RepackedBlockToJson(const RepackedBlock& block) {
  Json line;
  line["block"] = block.record.block;
  line["bytes"] = block.record.bytes;
  line["checksum"] = block.record.checksum;
  line["pixels"] = block.pixel_digest;
  return line;
}

bool RepackedBlockFromJson(const Json& line, RepackedBlock& block) {
  if (!line.contains("block")) return false;
  try {
    block.record.block = line.at("block").get<int64_t>();
    block.record.bytes = line.at("bytes").get<uint64_t>();
    block.record.checksum = line.at("checksum").get<std::string>();
    block.pixel_digest = line.at("pixels").get<std::string>();
  } catch (const Json::exception&) {
    return false;
  }
  return true;
}

BlockRepacker::BlockRepacker(const Dataset& source, std::span<const int32_t> image_key,
                             Compression compression, std::filesystem::path staging,
                             ProgressSink& progress, std::stop_token stop)
    : source_(source),
      image_key_(image_key),
      compression_(compression),
      staging_(std::move(staging)),
      progress_(progress),
      stop_(std::move(stop)),
      grid_(GridFor(source.shape(), source.grid(), compression)),
      tile_frames_(static_cast<int64_t>(
          std::max<uint64_t>(kBufferBytes / 2 / source.shape().frame_bytes(), 1))),
      buffer_(std::max<uint64_t>(
          kBufferBytes, static_cast<uint64_t>(tile_frames_) * source.shape().frame_bytes())) {}

std::filesystem::path BlockRepacker::PathOf(int64_t block) const {
  return staging_ / BlockRelativePath(source_.shape(), grid_, block);
}

// Before any of it is converted.
Status BlockRepacker::ProveSource(int64_t block) {
  const BlockInfo& info = source_.blocks()[static_cast<size_t>(block)];
  const std::filesystem::path path = source_.directory() / info.relative_path;
  PENSTOCK_ASSIGN_OR_RETURN(const FileDigests found, HashBlock(path, info.bytes, buffer_, stop_));
  if (found.checksum == info.checksum) return Status::Ok();
  return Error::Corrupt("the block is damaged")
      .In(path.string())
      .Expected("XXH3-128 " + info.checksum)
      .Found(found.checksum)
      .Advice("`penstock verify` lists all damage; restore the file from another copy");
}

// Nothing was received, as far as pixels can say it: raw blocks have a hole there.
bool BlockRepacker::IsLost(int64_t frame, std::span<const std::byte> pixels) const {
  return image_key_[static_cast<size_t>(frame)] != 0 &&
         std::ranges::all_of(pixels, [](std::byte byte) { return byte == std::byte{0}; });
}

Result<std::string> BlockRepacker::Convert(int64_t block, BlockWriter& writer) {
  const BlockInfo& info = source_.blocks()[static_cast<size_t>(block)];
  const uint64_t frame_bytes = source_.shape().frame_bytes();
  PENSTOCK_ASSIGN_OR_RETURN(BlockFrames frames,
                            BlockFrames::Open(source_.directory() / info.relative_path,
                                              {.shape = source_.shape(),
                                               .grid = source_.grid(),
                                               .compression = source_.compression(),
                                               .block = block,
                                               .file_bytes = info.bytes}));
  FileHasher pixels;
  const int64_t end = info.region.first_frame + info.region.frame_count();
  for (int64_t first = info.region.first_frame; first < end;) {
    if (stop_.stop_requested()) return Stopped();
    // Frames of one kind: those that may be lost one by one.
    const bool valid = image_key_[static_cast<size_t>(first)] == 0;
    int64_t count = 1;
    while (valid && count < tile_frames_ && first + count < end &&
           image_key_[static_cast<size_t>(first + count)] == 0) {
      ++count;
    }
    const std::span<std::byte> tile = writer.FrameBuffer(count);
    PENSTOCK_RETURN_IF_ERROR(frames.Read(first, count, tile));
    pixels.Update(tile);
    PENSTOCK_RETURN_IF_ERROR(IsLost(first, tile) ? writer.AppendMissing(count)
                                                 : writer.Append(count));
    progress_.Advance(static_cast<uint64_t>(count) * frame_bytes);
    first += count;
  }
  return pixels.HexDigest();
}

Result<std::string> BlockRepacker::DigestOfWritten(const BlockRecord& record) {
  PENSTOCK_ASSIGN_OR_RETURN(BlockFrames frames,
                            BlockFrames::Open(PathOf(record.block), {.shape = source_.shape(),
                                                                     .grid = grid_,
                                                                     .compression = compression_,
                                                                     .block = record.block,
                                                                     .file_bytes = record.bytes}));
  FileHasher pixels;
  const BlockRegion region = RegionOfBlock(source_.shape(), grid_, record.block);
  const int64_t end = region.first_frame + region.frame_count();
  for (int64_t first = region.first_frame; first < end; first += tile_frames_) {
    if (stop_.stop_requested()) return Stopped();
    const int64_t count = std::min(tile_frames_, end - first);
    const auto tile =
        std::span(buffer_).first(static_cast<size_t>(count) * source_.shape().frame_bytes());
    PENSTOCK_RETURN_IF_ERROR(frames.Read(first, count, tile));
    pixels.Update(tile);
  }
  return pixels.HexDigest();
}

Result<RepackedBlock> BlockRepacker::Write(int64_t block) {
  PENSTOCK_RETURN_IF_ERROR(ProveSource(block));
  RepackedBlock repacked;
  {
    PENSTOCK_ASSIGN_OR_RETURN(
        BlockWriter writer,
        BlockWriter::Create(staging_, source_.shape(), grid_, block, tile_frames_, compression_));
    PENSTOCK_ASSIGN_OR_RETURN(repacked.pixel_digest, Convert(block, writer));
    PENSTOCK_ASSIGN_OR_RETURN(repacked.record, writer.Finish());
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::string written, DigestOfWritten(repacked.record));
  if (written == repacked.pixel_digest) return repacked;
  return Error::Corrupt("what was written does not give the same pixels")
      .In(PathOf(block).string())
      .Expected("XXH3-128 " + repacked.pixel_digest)
      .Found(written)
      .Advice("the memory or the disk of this machine may be faulty; the dataset is as it was");
}

Result<RepackedBlock> BlockRepacker::Verify(RepackedBlock known) {
  const std::filesystem::path path = PathOf(known.record.block);
  PENSTOCK_ASSIGN_OR_RETURN(FileDigests found, HashBlock(path, known.record.bytes, buffer_, stop_));
  if (found.checksum != known.record.checksum) {
    return Error::Corrupt("not the bytes that the journal knows")
        .In(path.string())
        .Expected(known.record.checksum)
        .Found(found.checksum);
  }
  known.record.extent_checksum = std::move(found.extents);
  const BlockRegion region = RegionOfBlock(source_.shape(), grid_, known.record.block);
  progress_.Advance(static_cast<uint64_t>(region.frame_count()) * source_.shape().frame_bytes());
  return known;
}

}  // namespace penstock::ingest
