#include "penstock/dataset/block_frames.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "penstock/dataset/block_layout.h"

namespace penstock {

Result<BlockFrames> BlockFrames::Open(const std::filesystem::path& path, const Block& block) {
  BlockFrames frames;
  frames.path_ = path;
  frames.block_ = block;
  frames.first_frame_ = RegionOfBlock(block.shape, block.grid, block.block).first_frame;
  PENSTOCK_ASSIGN_OR_RETURN(frames.fd_, OpenFile(path, O_RDONLY));
  if (block.compression != Compression::kNone) {
    PENSTOCK_ASSIGN_OR_RETURN(
        frames.index_, ChunkIndex::Read(frames.fd_.get(), block.shape, block.grid, block.block,
                                        block.file_bytes, path));
    return frames;
  }
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(frames.fd_.get(), path));
  if (identity.size != block.file_bytes) {
    return Error::Corrupt("the block file has the wrong size")
        .In(path.string())
        .Expected(fmt::format("{} bytes", block.file_bytes))
        .Found(fmt::format("{} bytes", identity.size))
        .Advice("run `penstock verify` on the dataset");
  }
  return frames;
}

Status BlockFrames::ReadChunk(int64_t chunk, std::span<std::byte> pixels) {
  if (index_->is_absent(chunk)) {
    std::memset(pixels.data(), 0, pixels.size());
    return {};
  }
  const uint64_t begin = index_->begin(chunk);
  stored_.resize(index_->end(chunk) - begin);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd_.get(), begin, stored_, path_));
  Status decoded = decoder_.Decode(ElementSize(block_.shape.element_type), stored_, pixels);
  if (decoded.ok()) return {};
  const FrameRange frames = index_->FramesOf(chunk);
  return std::move(decoded)
      .error()
      .In(path_.string())
      .At(fmt::format("offset {}, frames {}-{}", begin, frames.first, frames.last - 1));
}

Status BlockFrames::Read(int64_t first, int64_t count, std::span<std::byte> pixels) {
  const uint64_t frame_bytes = block_.shape.frame_bytes();
  if (!index_) {
    return ReadFully(fd_.get(),
                     kPayloadStart + static_cast<uint64_t>(first - first_frame_) * frame_bytes,
                     pixels.first(static_cast<size_t>(count) * frame_bytes), path_);
  }
  for (const int64_t end = first + count; first < end;) {
    const int64_t chunk = index_->ChunkOfFrame(first);
    const FrameRange whole = index_->FramesOf(chunk);
    const int64_t frames = std::min(end, whole.last) - first;
    const std::span<std::byte> to = pixels.first(static_cast<size_t>(frames) * frame_bytes);
    if (frames == index_->chunk_frames()) {
      PENSTOCK_RETURN_IF_ERROR(ReadChunk(chunk, to));
    } else {
      if (decoded_ != chunk) {
        decoded_ = -1;
        chunk_.resize(index_->chunk_bytes());
        PENSTOCK_RETURN_IF_ERROR(ReadChunk(chunk, chunk_));
        decoded_ = chunk;
      }
      std::memcpy(to.data(), chunk_.data() + static_cast<size_t>(first - whole.first) * frame_bytes,
                  to.size());
    }
    first += frames;
    pixels = pixels.subspan(to.size());
  }
  return {};
}

}  // namespace penstock
