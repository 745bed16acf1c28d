#include "ingest/formats/blo/blo_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ingest/formats/records/text.h"

namespace penstock::ingest::blo {

namespace {

using records::LoadLittle;

constexpr uint64_t kMaxNoteBytes = uint64_t{1} << 20;

// "Blo Bit Depth: 16 bits" in the note of a file of version 1.3.
Result<int> DepthOf(const std::string& note) {
  std::string_view rest = note;
  while (!rest.empty()) {
    const size_t end = rest.find_first_of("\r\n");
    const std::string line = records::Lowercase(records::Trim(rest.substr(0, end)));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    constexpr std::string_view kKey = "blo bit depth:";
    if (!line.starts_with(kKey)) continue;
    std::string_view value = records::Trim(std::string_view(line).substr(kKey.size()));
    if (value.ends_with("bits")) value = records::Trim(value.substr(0, value.size() - 4));
    if (value == "8") return 8;
    if (value == "16") return 16;
    return Error::Unsupported("the note states a bit depth that is not known")
        .Expected("8 or 16 bits")
        .Found(line.substr(0, 60));
  }
  return 8;
}

Error Bad(std::string what, const std::filesystem::path& path, uint64_t offset) {
  return Error::Corrupt(std::move(what)).In(path.string()).AtOffset(offset);
}

}  // namespace

Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path) {
  Header header;
  PENSTOCK_ASSIGN_OR_RETURN(header.fixed,
                            records::ReadHeaderBytes(fd, file_bytes, kFixedBytes, path));
  const std::span<const std::byte> bytes = header.fixed;
  header.format = LoadLittle<uint16_t>(bytes, 6);
  if (header.format != 258 && header.format != 259) {
    return Error::Unsupported("a block file of an unknown version")
        .In(path.string())
        .AtOffset(6)
        .Expected("format word 258 or 259")
        .Found(fmt::format("{}", header.format));
  }
  header.image_offset = LoadLittle<uint32_t>(bytes, 8);
  header.frames_offset = LoadLittle<uint32_t>(bytes, 12);
  header.side = LoadLittle<uint16_t>(bytes, 20);
  header.columns = LoadLittle<uint16_t>(bytes, 24);
  header.rows = LoadLittle<uint16_t>(bytes, 26);
  header.scan_rotation = LoadLittle<uint16_t>(bytes, 28);
  header.step_x = LoadLittle<double>(bytes, 30);
  header.step_y = LoadLittle<double>(bytes, 38);
  header.beam_energy = LoadLittle<uint32_t>(bytes, 46);
  header.pixels_per_metre = LoadLittle<uint16_t>(bytes, 50);
  header.camera_length = LoadLittle<uint32_t>(bytes, 52);
  if (header.side == 0 || header.columns == 0 || header.rows == 0) {
    return Bad("an axis of the data has no extent", path, 20)
        .Expected("pattern size, NX and NY of at least 1")
        .Found(fmt::format("{}, {} and {}", header.side, header.columns, header.rows));
  }
  if (header.image_offset < kFixedBytes || header.image_offset > file_bytes ||
      header.frames_offset < header.image_offset) {
    return Bad("the offsets of the header exclude each other", path, 8)
        .Expected(fmt::format("virtual image from {} on, then the frames, in {} bytes", kFixedBytes,
                              file_bytes))
        .Found(fmt::format("{} and {}", header.image_offset, header.frames_offset));
  }
  const uint64_t image_end = uint64_t{header.image_offset} + static_cast<uint64_t>(header.Frames());
  if (header.frames_offset < image_end) {
    header.complaints.push_back(
        fmt::format("the frames begin at {}, inside the virtual image, which ends at {}",
                    header.frames_offset, image_end));
  }
  std::string note(std::min<uint64_t>(header.image_offset - kFixedBytes, kMaxNoteBytes), '\0');
  PENSTOCK_RETURN_IF_ERROR(
      ReadFully(fd, kFixedBytes, std::as_writable_bytes(std::span(note)), path));
  header.note = records::Latin1ToUtf8(note);
  if (header.format == 259) {
    auto depth = DepthOf(header.note);
    if (!depth.ok()) return std::move(depth).error().In(path.string()).AtOffset(kFixedBytes);
    header.depth = *depth;
  }
  return header;
}

void Describe(const Header& header, const std::string& name, SourceDescription& source) {
  source.scan_shapes.push_back(
      {{header.rows, header.columns, false},
       fmt::format("{}: header, NX = {}, NY = {}", name, header.columns, header.rows)});
  const auto evidence = [&name](std::string_view field) {
    return fmt::format("{}: header, {}", name, field);
  };
  const auto axis = [&](const char* which, double step, const char* units, std::string long_name,
                        std::string_view field) {
    if (!std::isfinite(step) || step <= 0) return;
    AxisCalibration calibration;
    calibration.step = step;
    calibration.units = units;
    calibration.long_name = std::move(long_name);
    calibration.evidence = evidence(field);
    source.axes[which] = std::move(calibration);
  };
  axis("axis_k", header.step_x, "nm", "scan position, fast axis (nm)", "offset 30 (SX)");
  axis("axis_m", header.step_y, "nm", "scan position, slow axis (nm)", "offset 38 (SY)");
  if (header.pixels_per_metre != 0) {
    const double centimetres = 100.0 / header.pixels_per_metre;
    const char* const field = "offset 50 (100 * pixels per cm)";
    axis("axis_i", centimetres, "cm", "detector columns (cm)", field);
    axis("axis_j", centimetres, "cm", "detector rows (cm)", field);
  }
  const std::string event = "measurement/event1/instrument/";
  if (header.beam_energy != 0) {
    source.facts.push_back({event + "ebeam_column/electron_source/voltage", header.beam_energy, "V",
                            evidence("offset 46 (beam energy)")});
  }
  if (header.camera_length != 0) {
    source.facts.push_back({event + "optics/camera_length", header.camera_length * 1e-4, "m",
                            evidence(fmt::format("offset 52 (camera length, {} tenths of a mm)",
                                                 header.camera_length))});
  }
  source.facts.push_back({event + "ebeam_column/scan_controller/scan_rotation",
                          header.scan_rotation / 100.0, "deg",
                          evidence("offset 28 (scan rotation, 1/100 degree)")});
  source.facts.push_back({event + "detector1/bit_depth_readout", header.depth, "",
                          header.format == 258 ? evidence("format word 258 (8 bit)")
                                               : evidence("note, Blo Bit Depth (8 where absent)")});
  source.vendor_headers.push_back(
      {name + " header (hexadecimal)", records::Hexadecimal(header.fixed)});
  if (!records::Trim(header.note).empty()) {
    source.vendor_headers.push_back({name + " note", header.note});
  }
}

}  // namespace penstock::ingest::blo
