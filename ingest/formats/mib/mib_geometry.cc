#include "ingest/formats/mib/mib_geometry.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "ingest/unpack/unpack.h"

namespace penstock::ingest {

namespace {

constexpr uint32_t kQuadChips = 4;
constexpr uint32_t kQuadMask = 0x0F;

bool IsTwoByTwo(std::string_view assembly) { return assembly == "2x2" || assembly == "2x2G"; }

Error WrongLayout(const MibFrameLayout& layout, ErrorKind kind, std::string what,
                  std::string expected) {
  return Error(kind, std::move(what)).Expected(std::move(expected)).Found(layout.ToString());
}

Status SetProcessed(MibGeometry& geometry, ElementType element_type) {
  const MibFrameLayout& layout = geometry.layout;
  geometry.element_type = element_type;
  geometry.signal = {.rows = layout.rows, .columns = layout.width};
  geometry.payload_bytes = uint64_t{layout.width} * layout.rows * ElementSize(element_type);
  return {};
}

// The depth is what tells how raw pixels are packed, and the chips how they are arranged.
Status SetRaw(MibGeometry& geometry) {
  const MibFrameLayout& layout = geometry.layout;
  if (!layout.counter_depth) {
    return WrongLayout(layout, ErrorKind::kCorrupt,
                       "raw data whose frame header does not state the counter depth",
                       "the extension MQ1A with the depth as its third field");
  }
  const int depth = *layout.counter_depth;
  switch (depth) {
    case 1:
    case 6:
      geometry.element_type = ElementType::kUint8;
      break;
    case 12:
      geometry.element_type = ElementType::kUint16;
      break;
    case 24:
      geometry.element_type = ElementType::kUint32;
      break;
    default:
      return WrongLayout(layout, ErrorKind::kCorrupt, "raw data of an unknown counter depth",
                         "1, 6, 12 or 24");
  }
  geometry.raw_depth = depth;

  if (layout.chips == kQuadChips && IsTwoByTwo(layout.assembly) && layout.chip_mask == kQuadMask) {
    geometry.quad = true;
  } else if (layout.chips != 1 || (layout.assembly != "1x1" && !IsTwoByTwo(layout.assembly)) ||
             std::popcount(layout.chip_mask) != 1) {
    return WrongLayout(layout, ErrorKind::kUnsupported,
                       "raw data of a chip arrangement without a known order of pixels",
                       "one chip, or all four chips in layout 2x2 or 2x2G")
        .Advice("save the acquisition as processed data in the Merlin software");
  }
  const uint32_t chips = geometry.quad ? kQuadChips : 1;
  const uint32_t width = chips * kMedipixSide * (depth == 24 ? 2 : 1);
  if (layout.width != width || layout.rows > kMedipixSide) {
    return WrongLayout(layout, ErrorKind::kContradiction,
                       "the size of the raw frame does not fit its chips",
                       fmt::format("{} columns and at most {} rows", width, kMedipixSide));
  }
  const uint64_t stored = uint64_t{layout.width} * layout.rows;
  geometry.payload_bytes = depth == 1 ? stored / 8 : depth == 6 ? stored : stored * 2;
  const int64_t side = geometry.quad ? 2 : 1;
  geometry.signal = {.rows = layout.rows * side, .columns = kMedipixSide * side};
  return {};
}

void UnpackRaw(int depth, std::span<const PixelRows> chips) {
  switch (depth) {
    case 1:
      UnpackR64Depth1(chips);
      return;
    case 6:
      UnpackR64Depth6(chips);
      return;
    case 12:
      UnpackR64Depth12(chips);
      return;
    default:
      UnpackR64Depth24(chips);
      return;
  }
}

// Where the chip rows of a quad go, in the order in which each stored row of 1024 pixels holds
// them: slots 3 and 2 are the upper half as they are, 1 and 0 the lower half turned by 180 degrees.
struct QuadSlot {
  bool lower_half;
  bool right_half;
};
constexpr std::array<QuadSlot, kQuadChips> kQuadSlots{
    {{true, true}, {true, false}, {false, true}, {false, false}}};

void DecodeRaw(const MibGeometry& geometry, const std::byte* payload, std::byte* image) {
  const size_t pixel_bytes = ElementSize(geometry.element_type);
  const size_t rows = geometry.layout.rows;
  // At depth 24 the second half of the payload holds the lower bits of all rows.
  const std::byte* lower = payload + geometry.payload_bytes / 2;
  if (!geometry.quad) {
    const PixelRows whole{.source = payload,
                          .source_stride = 0,
                          .destination = image,
                          .destination_stride = 0,
                          .row_count = 1,
                          .pixels_per_row = rows * kMedipixSide,
                          .order = PixelOrder::kForward,
                          .lower_source = lower};
    UnpackRaw(geometry.raw_depth, std::span(&whole, 1));
    return;
  }
  const size_t halves = geometry.raw_depth == 24 ? 2 : 1;
  const size_t stored_row_bytes = geometry.payload_bytes / halves / rows;
  const size_t chip_row_bytes = stored_row_bytes / kQuadChips;
  const size_t image_row_bytes = 2 * kMedipixSide * pixel_bytes;
  const auto stride = static_cast<ptrdiff_t>(image_row_bytes);
  std::array<PixelRows, kQuadChips> chips;
  for (size_t slot = 0; slot < kQuadChips; ++slot) {
    const QuadSlot& place = kQuadSlots[slot];
    const size_t first_row = place.lower_half ? 2 * rows - 1 : 0;
    const size_t first_column = place.right_half ? kMedipixSide : 0;
    chips[slot] = {.source = payload + slot * chip_row_bytes,
                   .source_stride = stored_row_bytes,
                   .destination = image + first_row * image_row_bytes + first_column * pixel_bytes,
                   .destination_stride = place.lower_half ? -stride : stride,
                   .row_count = rows,
                   .pixels_per_row = kMedipixSide,
                   .order = place.lower_half ? PixelOrder::kReversed : PixelOrder::kForward,
                   .lower_source = lower + slot * chip_row_bytes};
  }
  UnpackRaw(geometry.raw_depth, chips);
}

}  // namespace

Result<MibGeometry> MibGeometryOf(const MibFrameLayout& layout) {
  MibGeometry geometry;
  geometry.layout = layout;
  switch (layout.type) {
    case MibPixelType::kU08:
      PENSTOCK_RETURN_IF_ERROR(SetProcessed(geometry, ElementType::kUint8));
      break;
    case MibPixelType::kU16:
      PENSTOCK_RETURN_IF_ERROR(SetProcessed(geometry, ElementType::kUint16));
      break;
    case MibPixelType::kU32:
      PENSTOCK_RETURN_IF_ERROR(SetProcessed(geometry, ElementType::kUint32));
      break;
    case MibPixelType::kR64:
      PENSTOCK_RETURN_IF_ERROR(SetRaw(geometry));
      break;
    case MibPixelType::kU01:
    case MibPixelType::kU64:
      return WrongLayout(layout, ErrorKind::kUnsupported,
                         fmt::format("pixel type {} is not supported: no file with it is known",
                                     MibPixelTypeName(layout.type)),
                         "U08, U16, U32 or R64");
  }
  geometry.record_bytes = layout.header_bytes + geometry.payload_bytes;
  if (geometry.payload_bytes > kMibMaxFrameBytes) {
    return WrongLayout(layout, ErrorKind::kUnsupported, "the frame is larger than any detector's",
                       fmt::format("at most {} bytes per frame", kMibMaxFrameBytes));
  }
  return geometry;
}

std::vector<Anomaly> MibLayoutRemarks(const MibFrameLayout& layout) {
  std::vector<Anomaly> remarks;
  const auto remark = [&remarks](AnomalyKind kind, std::string message) {
    Anomaly anomaly;
    anomaly.kind = kind;
    anomaly.message = std::move(message);
    remarks.push_back(std::move(anomaly));
  };
  if (layout.chips > 1 && layout.assembly == "1x1") {
    remark(AnomalyKind::kHeaderContradiction,
           fmt::format("the frame header states {} chips and layout 1x1", layout.chips));
  }
  if (layout.chips == 1 && layout.assembly != "1x1") {
    remark(AnomalyKind::kOther,
           fmt::format("the frame header states layout {} with one active chip: taken as one chip",
                       layout.assembly));
  }
  if (std::popcount(layout.chip_mask) != static_cast<int>(layout.chips)) {
    remark(AnomalyKind::kOther, fmt::format("the frame header states {} chips and selects {:02X}",
                                            layout.chips, layout.chip_mask));
  }
  const int depth = layout.counter_depth.value_or(0);
  const bool fits = layout.type == MibPixelType::kU08   ? depth == 1 || depth == 6
                    : layout.type == MibPixelType::kU16 ? depth == 12
                    : layout.type == MibPixelType::kU32 ? depth == 24
                                                        : true;
  if (layout.counter_depth && !fits) {
    remark(AnomalyKind::kOther,
           fmt::format("the frame header states pixel type {} with counter depth {}; the pixel "
                       "type decides how the file is read",
                       MibPixelTypeName(layout.type), depth));
  }
  return remarks;
}

void DecodeMibPayload(const MibGeometry& geometry, std::span<const std::byte> payload,
                      std::span<std::byte> image) {
  assert(payload.size() == geometry.payload_bytes);
  assert(image.size() == geometry.image_bytes());
  const auto pixels = static_cast<size_t>(geometry.signal.pixel_count());
  switch (geometry.layout.type) {
    case MibPixelType::kU08:
      std::memcpy(image.data(), payload.data(), pixels);
      return;
    case MibPixelType::kU16:
      SwapBytes16(payload.data(), image.data(), pixels);
      return;
    case MibPixelType::kU32:
      SwapBytes32(payload.data(), image.data(), pixels);
      return;
    default:
      DecodeRaw(geometry, payload.data(), image.data());
      return;
  }
}

}  // namespace penstock::ingest
