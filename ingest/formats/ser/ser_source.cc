#include "ingest/formats/ser/ser_source.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace penstock::ingest::ser {

namespace {

// One read: large enough for the device, small enough that it is still in the cache when copied.
constexpr uint64_t kReadBytes = uint64_t{2} << 20;
constexpr uint64_t kMaxGapBytes = 4096;

}  // namespace

uint64_t SerSource::ReadEnd(size_t element) const {
  const ElementIndex& index = series_.index;
  uint64_t end = index.ElementEnd(element);
  if (element + 1 < index.offsets.size()) {
    const uint64_t next = index.offsets[element + 1];
    if (next - end <= kMaxGapBytes) return next;
  }
  if (index.tag_offsets.empty()) end += series_.header.TagBytes();
  return std::min(end, series_.identity.size);
}

Status SerSource::ReportTag(size_t element, std::span<const std::byte> bytes_behind,
                            DecodeContext& context) const {
  const ElementIndex& index = series_.index;
  if (!index.tags_usable) return Status::Ok();
  std::optional<Tag> tag;
  if (index.tag_offsets.empty() && bytes_behind.size() >= series_.header.TagBytes()) {
    tag = ParseTag(bytes_behind, series_.header.tag_kind);
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(tag, ReadTag(series_.fd.get(), series_.identity.size, series_.header,
                                           index.TagOffset(element), series_.path));
  }
  if (!tag || tag->unix_time == 0) return Status::Ok();
  FrameHeaderFacts facts;
  facts.time_unix_ns = int64_t{tag->unix_time} * 1'000'000'000;
  context.report->AddFrameFacts(static_cast<int64_t>(element), facts);
  return Status::Ok();
}

Status SerSource::Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                         DecodeContext& context) const {
  const ElementIndex& index = series_.index;
  assert(0 <= first && first <= last && last <= description_.frame_count);
  assert(destination.size() == static_cast<uint64_t>(last - first) * index.frame_bytes);
  auto element = static_cast<size_t>(first);
  const auto end = static_cast<size_t>(last);
  size_t written = 0;
  while (element < end) {
    if (index.frame_bytes > kReadBytes) {
      PENSTOCK_RETURN_IF_ERROR(
          DecodeLargeFrame(element, destination.subspan(written, index.frame_bytes), context));
      ++element;
      written += index.frame_bytes;
      continue;
    }
    // Elements that adjoin each other are read at once.
    size_t run_end = element + 1;
    while (run_end < end && ReadEnd(run_end - 1) == index.offsets[run_end] &&
           ReadEnd(run_end) - index.offsets[element] <= kReadBytes) {
      ++run_end;
    }
    const size_t run_bytes = (run_end - element) * index.frame_bytes;
    PENSTOCK_RETURN_IF_ERROR(
        DecodeRun(element, run_end, destination.subspan(written, run_bytes), context));
    element = run_end;
    written += run_bytes;
  }
  return Status::Ok();
}

Status SerSource::DecodeRun(size_t first, size_t last, std::span<std::byte> destination,
                            DecodeContext& context) const {
  const ElementIndex& index = series_.index;
  const uint64_t start = index.offsets[first];
  const size_t length = ReadEnd(last - 1) - start;
  PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                            context.Read({0, series_.fd.get(), start, length}, series_.path));

  const size_t rows = index.first.height;
  const size_t row_bytes = index.frame_bytes / rows;
  std::byte* frame = destination.data();
  for (size_t element = first; element < last; ++element, frame += index.frame_bytes) {
    const auto own = bytes.subspan(index.offsets[element] - start);
    PENSTOCK_RETURN_IF_ERROR(
        CheckSameGeometry(index, ParseElementHead(own), element, series_.path));
    const std::byte* row = own.data() + kElementHeadBytes;
    for (size_t r = 0; r < rows; ++r, row += row_bytes) {
      std::memcpy(frame + (rows - 1 - r) * row_bytes, row, row_bytes);
    }
    PENSTOCK_RETURN_IF_ERROR(
        ReportTag(element, own.subspan(kElementHeadBytes + index.frame_bytes), context));
  }
  return Status::Ok();
}

// A frame that is larger than a read is read to its place and turned there, so that it is never
// held twice.
Status SerSource::DecodeLargeFrame(size_t element, std::span<std::byte> destination,
                                   DecodeContext& context) const {
  const ElementIndex& index = series_.index;
  const int fd = series_.fd.get();
  const uint64_t start = index.offsets[element];
  std::array<std::byte, kElementHeadBytes> head;
  PENSTOCK_RETURN_IF_ERROR(context.ReadInto({0, fd, start, head.size()}, head, series_.path));
  PENSTOCK_RETURN_IF_ERROR(CheckSameGeometry(index, ParseElementHead(head), element, series_.path));
  PENSTOCK_RETURN_IF_ERROR(context.ReadInto({0, fd, start + kElementHeadBytes, destination.size()},
                                            destination, series_.path));
  std::array<std::byte, kMaxGapBytes + 24> behind;
  const uint64_t element_end = index.ElementEnd(element);
  const auto tail = std::span(behind).first(ReadEnd(element) - element_end);
  PENSTOCK_RETURN_IF_ERROR(context.ReadInto({0, fd, element_end, tail.size()}, tail, series_.path));
  const size_t rows = index.first.height;
  const size_t row_bytes = index.frame_bytes / rows;
  for (size_t top = 0, bottom = rows - 1; top < bottom; ++top, --bottom) {
    std::byte* const upper = destination.data() + top * row_bytes;
    std::swap_ranges(upper, upper + row_bytes, destination.data() + bottom * row_bytes);
  }
  return ReportTag(element, tail, context);
}

}  // namespace penstock::ingest::ser
