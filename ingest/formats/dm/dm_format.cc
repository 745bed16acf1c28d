#include "ingest/formats/dm/dm_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <optional>
#include <string>

#include "ingest/formats/dm/dm_describe.h"
#include "ingest/formats/dm/dm_image.h"
#include "ingest/formats/gatan_tags/tag_tree.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/unpack/unpack.h"

namespace penstock::ingest {

namespace {

void SwapBytes(const std::byte* source, std::byte* destination, uint64_t bytes,
               size_t element_bytes) {
  switch (element_bytes) {
    case 2:
      SwapBytes16(source, destination, bytes / 2);
      return;
    case 4:
      SwapBytes32(source, destination, bytes / 4);
      return;
    default:  // 8
      for (uint64_t at = 0; at + 8 <= bytes; at += 8) {
        std::reverse_copy(source + at, source + at + 8, destination + at);
      }
      return;
  }
}

// Frames lie one behind the other, so that a range of them is one range of bytes.
class DmSource final : public FrameSource {
 public:
  DmSource(OpenedFile file, uint64_t data_offset, bool swap, SourceDescription description)
      : file_(std::move(file)),
        data_offset_(data_offset),
        element_bytes_(ElementSize(description.element_type)),
        swap_(swap && element_bytes_ > 1),
        description_(std::move(description)) {}

  const SourceDescription& description() const override { return description_; }

  Status Decode(int64_t first, [[maybe_unused]] int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override {
    assert(0 <= first && first <= last && last <= description_.frame_count);
    const uint64_t frame_bytes =
        static_cast<uint64_t>(description_.signal.pixel_count()) * element_bytes_;
    assert(destination.size() == static_cast<uint64_t>(last - first) * frame_bytes);
    const uint64_t offset = data_offset_ + static_cast<uint64_t>(first) * frame_bytes;
    const std::filesystem::path& path = description_.files.front().path;
    if (!swap_) {
      return context.ReadInto({0, file_.fd.get(), offset, destination.size()}, destination, path);
    }
    for (uint64_t done = 0; done < destination.size();) {
      const uint64_t count =
          std::min<uint64_t>(SourceReader::kMaxReadBytes, destination.size() - done);
      PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                                context.Read({0, file_.fd.get(), offset + done, count}, path));
      SwapBytes(bytes.data(), destination.data() + done, count, element_bytes_);
      done += count;
    }
    return Status::Ok();
  }

  std::optional<FrameLocation> Locate(int64_t frame) const override {
    const uint64_t frame_bytes =
        static_cast<uint64_t>(description_.signal.pixel_count()) * element_bytes_;
    return FrameLocation{0, data_offset_ + static_cast<uint64_t>(frame) * frame_bytes};
  }

 private:
  const OpenedFile file_;
  const uint64_t data_offset_;
  const size_t element_bytes_;
  const bool swap_;
  const SourceDescription description_;
};

class DmFormatImplementation final : public SourceFormat {
 public:
  std::string_view name() const override { return "dm"; }
  std::string_view description() const override { return "Gatan DigitalMicrograph (DM3, DM4)"; }

  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> head) const override {
    if (!gatan::LooksLikeTagFile(head)) return {};
    return {Confidence::kYes,
            fmt::format("a Gatan tag file of version {}", std::to_integer<int>(head[3]))};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(path));
    PENSTOCK_ASSIGN_OR_RETURN(const gatan::TagTree tree,
                              gatan::ReadTagTree(file.fd.get(), file.identity.size, path));
    const std::vector<dm::DmImage> images = dm::ListImages(tree);
    PENSTOCK_ASSIGN_OR_RETURN(const dm::DmImage image,
                              dm::SelectImage(images, options.dataset_path, path));
    PENSTOCK_ASSIGN_OR_RETURN(SourceDescription description,
                              dm::DescribeImage(tree, images, image, path, file.identity));
    return std::unique_ptr<FrameSource>(std::make_unique<DmSource>(
        std::move(file), image.data_offset, !tree.little_endian, std::move(description)));
  }
};

}  // namespace

const SourceFormat& DmFormat() {
  static const DmFormatImplementation kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
