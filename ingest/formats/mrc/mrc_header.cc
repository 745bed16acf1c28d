#include "ingest/formats/mrc/mrc_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace penstock::ingest::mrc {

namespace {

using records::AsText;
using records::LoadBig;
using records::LoadLittle;

// Below 2^24, so that a number in the wrong byte order is never taken for a size.
constexpr int32_t kMaxSide = (1 << 24) - 1;
constexpr int32_t kImodStamp = 1146047817;
constexpr int32_t kImodSigned = 1;
constexpr int32_t kImodPacked = 16;

bool HasMapWord(std::span<const std::byte> head) { return AsText(head.subspan(208, 4)) == "MAP "; }

bool KnownMode(int32_t mode) {
  constexpr int32_t kModes[] = {0, 1, 2, 3, 4, 6, 12, 16, 101};
  return std::ranges::find(kModes, mode) != std::end(kModes);
}

template <typename T>
T LoadAs(std::span<const std::byte> bytes, size_t offset, bool big_endian) {
  return big_endian ? LoadBig<T>(bytes, offset) : LoadLittle<T>(bytes, offset);
}

// Sizes and mode make sense in this byte order.
bool Plausible(std::span<const std::byte> head, bool big_endian) {
  for (const size_t offset : {size_t{0}, size_t{4}, size_t{8}}) {
    const auto side = LoadAs<int32_t>(head, offset, big_endian);
    if (side < 1 || side > kMaxSide) return false;
  }
  return KnownMode(LoadAs<int32_t>(head, 12, big_endian)) &&
         LoadAs<int32_t>(head, 92, big_endian) >= 0;
}

// The machine stamp: 44 44 or 44 41 for little-endian files, 11 11 for big-endian ones.
std::optional<bool> StampedBigEndian(std::span<const std::byte> head) {
  if (head[212] == std::byte{0x44}) return false;
  if (head[212] == std::byte{0x11}) return true;
  return std::nullopt;
}

Result<PixelFormat> PixelsOf(const Header& header) {
  const auto stated = [](ElementType type) {
    PixelFormat format;
    format.element_type = type;
    format.swap_bytes = IsComplex(type) ? ElementSize(type) / 2 : ElementSize(type);
    return format;
  };
  switch (header.mode) {
    case 0: {
      // IMOD writes its own mark and says whether its bytes are signed; the standard says that all
      // others are.
      if (header.Load<int32_t>(152) != kImodStamp) return stated(ElementType::kInt8);
      const auto flags = header.Load<int32_t>(156);
      if ((flags & kImodPacked) != 0) {
        return Error::Unsupported("4-bit pixels packed into bytes of half the width")
            .AtOffset(156)
            .Expected("bytes, or 4-bit pixels of mode 101")
            .Found(fmt::format("mode 0 with IMOD's flags {}", flags))
            .Advice("convert the file to mode 101 or 1 (newstack of IMOD does)");
      }
      return stated((flags & kImodSigned) != 0 ? ElementType::kInt8 : ElementType::kUint8);
    }
    case 1:
      return stated(ElementType::kInt16);
    case 2:
      return stated(ElementType::kFloat32);
    case 4:
      return stated(ElementType::kComplex64);
    case 6:
      return stated(ElementType::kUint16);
    case 12: {
      PixelFormat format = stated(ElementType::kFloat32);
      format.half = true;
      format.swap_bytes = 2;
      return format;
    }
    case 101: {
      PixelFormat format = stated(ElementType::kUint8);
      format.nibbles = true;
      return format;
    }
    default:
      return Error::Unsupported("pixels of a mode that is not read")
          .AtOffset(12)
          .Expected("mode 0, 1, 2, 4, 6, 12 or 101")
          .Found(fmt::format("mode {}{}", header.mode,
                             header.mode == 3    ? " (complex 16-bit integers)"
                             : header.mode == 16 ? " (RGB)"
                                                 : ""))
          .Advice("convert the file to one of these modes");
  }
}

uint64_t SectionBytesOf(int32_t mode, uint64_t columns, uint64_t rows) {
  switch (mode) {
    case 0:
      return columns * rows;
    case 1:
    case 6:
    case 12:
      return columns * rows * 2;
    case 2:
    case 3:
      return columns * rows * 4;
    case 4:
      return columns * rows * 8;
    case 16:
      return columns * rows * 3;
    default:
      return (columns + 1) / 2 * rows;
  }
}

// Fields of a section in the extended headers of FEI, which name and unit are published for. The
// fields are not aligned. Values that are 0 or not finite were not recorded.
struct FeiField {
  size_t offset;
  const char* path;
  const char* units;
  const char* name;
};
constexpr FeiField kFeiFields[] = {
    {84, "measurement/event1/instrument/ebeam_column/electron_source/voltage", "V", "HT"},
    {100, "measurement/event1/instrument/stage1/tilt1", "deg", "Alpha tilt"},
    {108, "measurement/event1/instrument/stage1/tilt2", "deg", "Beta tilt"},
    {289, "measurement/event1/instrument/optics/magnification", "", "Magnification"},
    {301, "measurement/event1/instrument/optics/camera_length", "m", "Camera length"},
    {419, "measurement/event1/instrument/detector1/count_time", "s", "Integration time"},
};
constexpr size_t kFeiBytes = 768;  // of FEI1; FEI2 has the same fields in front
constexpr size_t kFeiPixelX = 156;
constexpr size_t kFeiPixelY = 164;

// The older extended header of FEI: 1024 sections of 128 bytes of float32.
constexpr uint64_t kOldFeiBytes = uint64_t{1024} * 128;
constexpr size_t kOldFeiExposure = 32;
constexpr size_t kOldFeiPixel = 44;
constexpr size_t kOldFeiMagnification = 48;

class Describer {
 public:
  Describer(const Header& header, int fd, const std::filesystem::path& path,
            SourceDescription& source)
      : header_(header), fd_(fd), path_(path), name_(path.filename().string()), source_(source) {}

  Status Describe() {
    AddCell();
    PENSTOCK_RETURN_IF_ERROR(AddExtended());
    source_.vendor_headers.push_back(
        {name_ + " header (hexadecimal)", records::Hexadecimal(header_.fixed)});
    AddLabels();
    return Status::Ok();
  }

 private:
  void AddAxis(const char* axis, double step, const char* units, const std::string& evidence) {
    if (!std::isfinite(step) || step <= 0) return;
    AxisCalibration calibration;
    calibration.step = step;
    calibration.units = units;
    calibration.long_name =
        fmt::format("{} ({})", axis == std::string_view("axis_i") ? "columns" : "rows", units);
    calibration.evidence = evidence;
    source_.axes[axis] = std::move(calibration);
  }

  // Cell in angstrom over intervals. A pixel of exactly 1 is what is written when nothing is known.
  void AddCell() {
    for (const auto& [axis, interval, length] : {std::tuple{"axis_i", size_t{28}, size_t{40}},
                                                 std::tuple{"axis_j", size_t{32}, size_t{44}}}) {
      const auto intervals = header_.Load<int32_t>(interval);
      const auto cell = static_cast<double>(header_.Load<float>(length));
      if (intervals < 1 || !(cell > 0) || cell == intervals) continue;
      AddAxis(axis, cell / intervals, "angstrom",
              fmt::format("{}: header, cell of {} angstrom in {} intervals (offsets {} and {})",
                          name_, cell, intervals, length, interval));
    }
  }

  void AddFact(const char* path, double value, const char* units, const std::string& field) {
    if (!std::isfinite(value) || value == 0) return;
    source_.facts.push_back(
        {path, value, units, fmt::format("{}: extended header of section 0, {}", name_, field)});
  }

  Status AddExtended() {
    if (header_.extended_bytes == 0) return Status::Ok();
    const bool fei = header_.extended_type == "FEI1" || header_.extended_type == "FEI2";
    const bool old_fei = header_.extended_type.empty() && header_.extended_bytes == kOldFeiBytes;
    const size_t wanted = fei ? kFeiBytes : old_fei ? 128 : 0;
    if (wanted == 0 || header_.extended_bytes < wanted) return Status::Ok();
    std::array<std::byte, kFeiBytes> buffer{};
    const auto section = std::span(buffer).first(wanted);
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd_, kHeaderBytes, section, path_));
    source_.vendor_headers.push_back(
        {name_ + " extended header of section 0 (hexadecimal)", records::Hexadecimal(section)});
    const auto real = [&](size_t offset) {
      return LoadAs<double>(section, offset, header_.big_endian);
    };
    const auto single = [&](size_t offset) {
      return static_cast<double>(LoadAs<float>(section, offset, header_.big_endian));
    };
    if (fei) {
      for (const FeiField& field : kFeiFields) {
        AddFact(field.path, real(field.offset), field.units, field.name);
      }
      const std::string evidence =
          fmt::format("{}: extended header of section 0, pixel size", name_);
      AddAxis("axis_i", real(kFeiPixelX), "m", evidence);
      AddAxis("axis_j", real(kFeiPixelY), "m", evidence);
      return Status::Ok();
    }
    AddFact("measurement/event1/instrument/detector1/count_time", single(kOldFeiExposure), "s",
            "exposure time");
    AddFact("measurement/event1/instrument/optics/magnification", single(kOldFeiMagnification), "",
            "magnification");
    // Beyond a millimetre the field is in another unit that is not stated.
    if (const double pixel = single(kOldFeiPixel); pixel < 1e-3) {
      const std::string evidence =
          fmt::format("{}: extended header of section 0, pixel size", name_);
      AddAxis("axis_i", pixel, "m", evidence);
      AddAxis("axis_j", pixel, "m", evidence);
    }
    return Status::Ok();
  }

  void AddLabels() {
    std::string labels;
    const auto count = std::clamp<int32_t>(header_.Load<int32_t>(220), 0, 10);
    for (int32_t i = 0; i < count; ++i) {
      const auto label =
          AsText(std::span(header_.fixed).subspan(224 + static_cast<size_t>(i) * 80, 80));
      labels += records::Latin1ToUtf8(records::Trim(label.substr(0, label.find('\0')))) + "\n";
    }
    if (!records::Trim(labels).empty()) {
      source_.vendor_headers.push_back({name_ + " labels", labels});
    }
  }

  const Header& header_;
  const int fd_;
  const std::filesystem::path& path_;
  const std::string name_;
  SourceDescription& source_;
};

}  // namespace

uint64_t Header::SectionBytes() const {
  return SectionBytesOf(mode, static_cast<uint64_t>(columns), static_cast<uint64_t>(rows));
}

bool LooksLikeHeader(std::span<const std::byte> head, uint64_t file_bytes) {
  if (head.size() < kHeaderBytes) return false;
  const bool little = Plausible(head, false);
  const bool big = Plausible(head, true);
  if (HasMapWord(head)) return little || big;
  for (const bool big_endian : {false, true}) {
    if (big_endian ? !big : !little) continue;
    const auto value = [&](size_t offset) {
      return static_cast<uint64_t>(LoadAs<int32_t>(head, offset, big_endian));
    };
    // At most 2^24 each, 8 bytes a pixel: no overflow in 64 bits for two of them.
    const uint64_t section =
        SectionBytesOf(LoadAs<int32_t>(head, 12, big_endian), value(0), value(4));
    const uint64_t body = file_bytes - std::min(file_bytes, kHeaderBytes + value(92));
    if (section > 0 && body % section == 0 && body / section == value(8)) return true;
  }
  return false;
}

Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path) {
  Header header;
  PENSTOCK_ASSIGN_OR_RETURN(header.fixed,
                            records::ReadHeaderBytes(fd, file_bytes, kHeaderBytes, path));
  const bool little = Plausible(header.fixed, false);
  const bool big = Plausible(header.fixed, true);
  const auto stamp = StampedBigEndian(header.fixed);
  if (!little && !big) {
    return Error::Corrupt("the header is not one of an MRC file")
        .In(path.string())
        .AtOffset(0)
        .Expected("columns, rows, sections and a known mode, in either byte order")
        .Found(fmt::format(
            "{}, {}, {} and {} as little-endian numbers", LoadLittle<int32_t>(header.fixed, 0),
            LoadLittle<int32_t>(header.fixed, 4), LoadLittle<int32_t>(header.fixed, 8),
            LoadLittle<int32_t>(header.fixed, 12)))
        .Advice("check that the file is complete and an MRC file");
  }
  // The stamp decides where both orders make sense, which small numbers never do.
  header.big_endian = little && big ? stamp.value_or(false) : big;
  if (stamp && *stamp != header.big_endian) {
    header.complaints.push_back(
        fmt::format("the machine stamp says {}-endian, the sizes make sense as {}-endian only",
                    *stamp ? "big" : "little", header.big_endian ? "big" : "little"));
  }
  header.columns = header.Load<int32_t>(0);
  header.rows = header.Load<int32_t>(4);
  header.sections = header.Load<int32_t>(8);
  header.mode = header.Load<int32_t>(12);
  header.extended_bytes = static_cast<uint64_t>(header.Load<int32_t>(92));
  const std::string_view type = AsText(std::span<const std::byte>(header.fixed).subspan(104, 4));
  if (std::ranges::all_of(type, [](char c) { return c > ' ' && c < 127; })) {
    header.extended_type = type;
  }
  auto pixels = PixelsOf(header);
  if (!pixels.ok()) return std::move(pixels).error().In(path.string());
  header.pixels = *pixels;
  std::array<int32_t, 3> axes{header.Load<int32_t>(64), header.Load<int32_t>(68),
                              header.Load<int32_t>(72)};
  const std::array<int32_t, 3> usual{1, 2, 3};
  if (axes != usual && axes != std::array<int32_t, 3>{0, 0, 0}) {
    header.complaints.push_back(
        fmt::format("columns, rows and sections are axes {}, {} and {} of the volume; frames are "
                    "stored as they lie in the file",
                    axes[0], axes[1], axes[2]));
  }
  return header;
}

Status Describe(const Header& header, int fd, const std::filesystem::path& path,
                SourceDescription& source) {
  return Describer(header, fd, path, source).Describe();
}

}  // namespace penstock::ingest::mrc
