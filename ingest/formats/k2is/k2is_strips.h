// Frames of a K2 IS acquisition strip by strip: blocks are unpacked where they lie in the page
// cache, some rows of all of them at a time.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_K2IS_STRIPS_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_K2IS_STRIPS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ingest/formats/k2is/acquisition.h"
#include "ingest/formats/k2is/block_header.h"
#include "ingest/read_ahead/mapped_window.h"
#include "ingest/read_ahead/source_file.h"
#include "penstock/base/aligned_buffer.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::k2is {

class K2isSource;

class K2isStrips final : public StripDecoder {
 public:
  explicit K2isStrips(const K2isSource& source) : source_(source) {}

  Status Begin(std::span<const int64_t> frames, DecodeContext& context) override;
  Status Rows(int64_t first, int64_t last, std::span<std::byte> destination) const override;
  // Block after block, as a sector has them, one sector after the other.
  std::shared_ptr<const std::vector<uint32_t>> stored_order() const override;
  Status StoredPixels(int64_t first, int64_t last, std::span<std::byte> destination) const override;
  int64_t packed_run() const override { return kBlockColumns * kBlockRows; }
  void LocatePacked(int64_t run, size_t first, std::span<const std::byte*> frames) const override;
  Status CheckPacked() const override;

 private:
  // The bytes of a piece: mapped from the page cache, or read into a buffer.
  class Bytes {
   public:
    // Through the window, or another one that takes its place. False where the bytes are not in the
    // page cache, or cannot be mapped.
    bool Map(const SourceReadMode& mode, uint64_t offset, uint64_t bytes,
             std::shared_ptr<const MappedWindow>& window);
    // A place for bytes that are read.
    Result<std::span<std::byte>> Room(uint64_t bytes);
    std::span<const std::byte> span() const { return span_; }
    // The offset in the file of bytes that could not be read where they were mapped.
    std::optional<uint64_t> lost() const { return window_ ? window_->lost() : std::nullopt; }

   private:
    std::shared_ptr<const MappedWindow> window_;  // null: they are in the buffer
    AlignedBuffer buffer_;
    std::span<const std::byte> span_;
  };
  // A frame of the group: the packed pixels by half and column of blocks, over all sectors.
  struct Frame {
    bool there = false;
    std::array<const std::byte*, 2 * kSectors * kBlocksAcross> blocks{};
    std::deque<Bytes> bytes;
    std::vector<size_t> files;  // sector files of the first of these, which the frame has
  };

  Status CheckRead(const Frame& frame) const;
  Status BeginFrame(Frame& frame, int64_t number, DecodeContext& context);
  Status OpenModes();

  const K2isSource& source_;
  std::vector<SourceReadMode> modes_;  // of the sectors; empty until the first frame
  std::vector<std::shared_ptr<const MappedWindow>> windows_;  // the last one of each sector
  std::deque<Frame> frames_;
};

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_K2IS_STRIPS_H_
