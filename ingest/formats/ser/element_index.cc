#include "ingest/formats/ser/element_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "penstock/base/file.h"

namespace penstock::ingest::ser {

namespace {

constexpr size_t kHeadsAtOpen = 1024;

constexpr const char* kDamaged = "the file is damaged; copy it again from the microscope";

Result<ElementHead> ReadHead(int fd, uint64_t offset, const std::filesystem::path& path) {
  std::array<std::byte, kElementHeadBytes> bytes;
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, offset, bytes, path));
  return ParseElementHead(bytes);
}

// The bytes of one frame. The product is checked before it is used for anything.
Result<uint64_t> FrameBytes(const ElementHead& head, uint64_t offset, uint64_t file_bytes,
                            const std::filesystem::path& path) {
  const auto type = ElementTypeOf(head.element_type);
  if (!type) {
    return Error::Corrupt("unknown pixel type")
        .In(path.string())
        .AtOffset(offset + 40)
        .AtFrame(0)
        .Expected("1 to 10")
        .Found(std::to_string(head.element_type))
        .Advice(kDamaged);
  }
  const uint64_t pixels = uint64_t{head.width} * head.height;  // below 2^64
  if (pixels == 0 || pixels > file_bytes / ElementSize(*type)) {
    return Error::Corrupt("a frame of this size is not in the file")
        .In(path.string())
        .AtOffset(offset + 42)
        .AtFrame(0)
        .Expected(fmt::format("at least one pixel and at most {} bytes", file_bytes))
        .Found(
            fmt::format("{} x {} pixels of {} bytes", head.width, head.height, ElementSize(*type)))
        .Advice("check whether the file was copied completely");
  }
  return pixels * ElementSize(*type);
}

Status CheckFirstOffset(const SeriesHeader& header, uint64_t offset, uint64_t file_bytes,
                        const std::filesystem::path& path) {
  if (offset >= header.TableEnd() && offset + kElementHeadBytes <= file_bytes &&
      offset < file_bytes) {
    return Status::Ok();
  }
  return Error::Corrupt("the first element does not lie behind the offset table")
      .In(path.string())
      .AtOffset(header.table_offset)
      .AtFrame(0)
      .Expected(fmt::format("an offset from {} to {}", header.TableEnd(), file_bytes))
      .Found(std::to_string(offset))
      .Advice(kDamaged);
}

// All valid entries must rise by at least a whole element; those that reach beyond the end of the
// file are cut off, because a truncated copy keeps its earlier frames.
Status CheckOffsets(const SeriesHeader& header, uint64_t file_bytes,
                    const std::filesystem::path& path, ElementIndex& index) {
  const uint64_t element_bytes = kElementHeadBytes + index.frame_bytes;
  std::optional<size_t> first_beyond;
  for (size_t i = 0; i < index.offsets.size(); ++i) {
    const uint64_t offset = index.offsets[i];
    if (i > 0 && (offset < index.offsets[i - 1] || offset - index.offsets[i - 1] < element_bytes)) {
      return Error::Corrupt("two elements overlap")
          .In(path.string())
          .AtOffset(header.table_offset + i * header.OffsetBytes())
          .AtFrame(static_cast<int64_t>(i))
          .Expected(fmt::format("an offset of at least {} ({} bytes behind element {})",
                                index.offsets[i - 1] + element_bytes, element_bytes, i - 1))
          .Found(std::to_string(offset))
          .Advice(kDamaged);
    }
    if (!first_beyond && (offset > file_bytes || file_bytes - offset < element_bytes)) {
      first_beyond = i;
    }
  }
  if (!first_beyond) return Status::Ok();
  if (*first_beyond == 0) {
    return Error::Corrupt("the file ends inside its first element")
        .In(path.string())
        .AtOffset(index.offsets[0])
        .AtFrame(0)
        .Expected(fmt::format("{} bytes", element_bytes))
        .Found(fmt::format("{} bytes", file_bytes - index.offsets[0]))
        .Advice("check whether the file was copied completely");
  }
  Anomaly anomaly;
  anomaly.kind = AnomalyKind::kTruncated;
  anomaly.file = path.string();
  anomaly.byte_offset = index.offsets[*first_beyond];
  anomaly.frame = static_cast<int64_t>(*first_beyond);
  anomaly.message = fmt::format(
      "the file is truncated: {} elements are written according to its header, {} are complete "
      "within its {} bytes",
      index.offsets.size(), *first_beyond, file_bytes);
  index.anomalies.push_back(std::move(anomaly));
  index.offsets.resize(*first_beyond);
  return Status::Ok();
}

Status ReadTagOffsets(int fd, const SeriesHeader& header, const std::filesystem::path& path,
                      ElementIndex& index) {
  PENSTOCK_ASSIGN_OR_RETURN(
      index.tag_offsets,
      ReadOffsets(fd, header, true, static_cast<uint32_t>(index.offsets.size()), path));
  bool follow = true;
  for (size_t i = 0; i < index.offsets.size() && follow; ++i) {
    follow = index.tag_offsets[i] == index.ElementEnd(i);
  }
  if (follow) index.tag_offsets = {};
  return Status::Ok();
}

void DropTags(ElementIndex& index, size_t element, const std::filesystem::path& path,
              const SeriesHeader& header) {
  index.tags_usable = false;
  Anomaly anomaly;
  anomaly.file = path.string();
  anomaly.byte_offset = index.TagOffset(element);
  anomaly.frame = static_cast<int64_t>(element);
  anomaly.message = fmt::format(
      "the tag of element {} is not in the file or not of the header's kind {:#06x}: times and "
      "positions are left out, pixels are not concerned",
      element, header.tag_kind);
  index.anomalies.push_back(std::move(anomaly));
}

}  // namespace

Status CheckSameGeometry(const ElementIndex& index, const ElementHead& head, size_t element,
                         const std::filesystem::path& path) {
  if (head.SameGeometry(index.first)) return Status::Ok();
  return Error::Corrupt("an element differs from the first in type or size")
      .In(path.string())
      .AtOffset(index.offsets[element] + 40)
      .AtFrame(static_cast<int64_t>(element))
      .Expected(fmt::format("type {}, {} x {}", index.first.element_type, index.first.width,
                            index.first.height))
      .Found(fmt::format("type {}, {} x {}", head.element_type, head.width, head.height))
      .Advice("series of unequal images are not supported");
}

Result<std::optional<Tag>> ReadTag(int fd, uint64_t file_bytes, const SeriesHeader& header,
                                   uint64_t offset, const std::filesystem::path& path) {
  std::array<std::byte, 24> bytes;
  const uint64_t length = header.TagBytes();
  if (offset > file_bytes || file_bytes - offset < length) return std::optional<Tag>();
  const auto span = std::span(bytes).first(length);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, offset, span, path));
  return ParseTag(span, header.tag_kind);
}

Result<ElementIndex> BuildElementIndex(int fd, uint64_t file_bytes, const SeriesHeader& header,
                                       const std::filesystem::path& path) {
  if (header.valid_elements > kMaxElements) {
    return Error::Unsupported("more elements than penstock keeps an index of")
        .In(path.string())
        .AtOffset(18)
        .Expected(fmt::format("at most {}", kMaxElements))
        .Found(std::to_string(header.valid_elements));
  }
  ElementIndex index;
  PENSTOCK_ASSIGN_OR_RETURN(index.offsets,
                            ReadOffsets(fd, header, false, header.valid_elements, path));
  PENSTOCK_RETURN_IF_ERROR(CheckFirstOffset(header, index.offsets[0], file_bytes, path));
  PENSTOCK_ASSIGN_OR_RETURN(index.first, ReadHead(fd, index.offsets[0], path));
  PENSTOCK_ASSIGN_OR_RETURN(index.frame_bytes,
                            FrameBytes(index.first, index.offsets[0], file_bytes, path));
  PENSTOCK_RETURN_IF_ERROR(CheckOffsets(header, file_bytes, path, index));
  PENSTOCK_RETURN_IF_ERROR(ReadTagOffsets(fd, header, path, index));

  index.tags_usable = true;
  const size_t count = index.offsets.size();
  const size_t looks = std::min(count, kHeadsAtOpen);
  for (size_t look = 0; look < looks; ++look) {
    const size_t element = looks == 1 ? 0 : look * (count - 1) / (looks - 1);
    PENSTOCK_ASSIGN_OR_RETURN(const ElementHead head, ReadHead(fd, index.offsets[element], path));
    PENSTOCK_RETURN_IF_ERROR(CheckSameGeometry(index, head, element, path));
    if (!(head.x == index.first.x && head.y == index.first.y)) index.same_calibration = false;
    if (!index.tags_usable) continue;
    PENSTOCK_ASSIGN_OR_RETURN(const auto tag,
                              ReadTag(fd, file_bytes, header, index.TagOffset(element), path));
    if (!tag) DropTags(index, element, path, header);
  }
  return index;
}

}  // namespace penstock::ingest::ser
