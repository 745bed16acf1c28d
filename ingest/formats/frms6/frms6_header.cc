#include "ingest/formats/frms6/frms6_header.h"

#include <fmt/format.h>

#include <array>

#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest::frms6 {

namespace {

using records::LoadLittle;
using records::Lowercase;
using records::ParseCount;
using records::Trim;

constexpr uint64_t kMaxHeaderTextBytes = uint64_t{1} << 20;
constexpr int64_t kMaxSide = int64_t{1} << 31;

// The next line of `text`, which it is removed from.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = Trim(text.substr(0, end));
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

// "4 x 16"
std::optional<Size> ParseSize(std::string_view text) {
  const size_t x = text.find('x');
  if (x == std::string_view::npos) return std::nullopt;
  const auto first = ParseCount(text.substr(0, x));
  const auto second = ParseCount(text.substr(x + 1));
  if (!first || !second || *first < 1 || *second < 1 || *first > kMaxSide || *second > kMaxSide) {
    return std::nullopt;
  }
  return Size{*first, *second};
}

// "bin: 2, windowing: 4 x 16", in double quotes.
bool ParseReadoutMode(std::string_view text, Measurement& measurement) {
  text = Trim(text);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  constexpr std::string_view kBinning = "bin:";
  constexpr std::string_view kWindow = "windowing:";
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos) return false;
  const std::string_view first = Trim(text.substr(0, comma));
  const std::string_view second = Trim(text.substr(comma + 1));
  if (!first.starts_with(kBinning) || !second.starts_with(kWindow)) return false;
  const auto binning = ParseCount(first.substr(kBinning.size()));
  const auto window = ParseSize(second.substr(kWindow.size()));
  if (!binning || !window) return false;
  measurement.binning = *binning;
  measurement.window = *window;
  return true;
}

}  // namespace

bool LooksLikeMeasurement(std::string_view text) {
  while (!text.empty()) {
    if (TakeLine(text) == "[measurementInfo]") return true;
  }
  return false;
}

Result<Measurement> ReadMeasurement(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string contents, ReadWholeFile(path, kMaxHeaderTextBytes));
  Measurement measurement;
  measurement.text = records::ToUtf8(contents);
  std::string_view rest = measurement.text;
  bool inside = false;
  bool found = false;
  while (!rest.empty()) {
    const std::string_view line = TakeLine(rest);
    if (line.starts_with('[')) {
      inside = line == "[measurementInfo]";
      found = found || inside;
      continue;
    }
    const size_t separator = line.find_first_of("=:");
    if (!inside || line.empty() || line.front() == '#' || line.front() == ';' ||
        separator == std::string_view::npos) {
      continue;
    }
    std::string key = Lowercase(Trim(line.substr(0, separator)));
    const auto [existing, inserted] =
        measurement.values.emplace(std::move(key), Trim(line.substr(separator + 1)));
    if (!inserted) {
      measurement.complaints.push_back(
          fmt::format("'{}' stands there twice; the first is used", existing->first));
    }
  }
  if (!found) {
    return Error::Corrupt("this is not the header of an FRMS6 acquisition")
        .In(path.string())
        .Expected("a section [measurementInfo]")
        .Found("none");
  }
  const auto value = [&measurement](const char* key) -> std::string {
    const auto entry = measurement.values.find(key);
    return entry == measurement.values.end() ? "" : entry->second;
  };
  if (!ParseReadoutMode(value("readoutmode"), measurement) ||
      (measurement.binning != 1 && measurement.binning != 2 && measurement.binning != 4)) {
    return Error::Corrupt("the header does not say how rows were binned")
        .In(path.string())
        .At("readoutMode")
        .Expected("\"bin: N, windowing: H x W\" with N = 1, 2 or 4")
        .Found(value("readoutmode").substr(0, 60))
        .Advice("without the binning the height of a frame is not known");
  }
  const auto count = [&](const char* key) -> std::optional<int64_t> {
    const std::string text = value(key);
    const auto number = ParseCount(text);
    if (!text.empty() && !number) {
      measurement.complaints.push_back(
          fmt::format("{} is '{}', which is not a number", key, text.substr(0, 40)));
    }
    return number;
  };
  measurement.dark_frames = count("darkframes");
  measurement.signal_frames = count("signalframes");
  measurement.dwell_us = count("dwelltimemicroseconds");
  const std::string scan = value("stemimagesize");
  measurement.scan = ParseSize(scan);
  if (!scan.empty() && !measurement.scan) {
    measurement.complaints.push_back(
        fmt::format("stemImageSize is '{}', expected two numbers", scan.substr(0, 40)));
  }
  return measurement;
}

bool IsFileHead(std::span<const std::byte> head) {
  return head.size() >= 8 && LoadLittle<uint16_t>(head, 0) == kFileHeaderBytes &&
         LoadLittle<uint16_t>(head, 2) == kFrameHeaderBytes && head[7] == std::byte{6};
}

Result<File> InspectFile(const std::filesystem::path& path, int64_t number) {
  PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile opened, OpenRegularFile(path));
  File file;
  file.path = path;
  file.number = number;
  file.identity = opened.identity;
  const uint64_t size = opened.identity.size;
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::vector<std::byte> head,
      records::ReadHeaderBytes(opened.fd.get(), size, kFileHeaderBytes, path));
  if (!IsFileHead(head)) {
    return Error::Corrupt("this is not an FRMS6 file of version 6")
        .In(path.string())
        .AtOffset(0)
        .Expected("header lengths 1024 and 64, version 6")
        .Found(fmt::format("{}, {} and {}", LoadLittle<uint16_t>(head, 0),
                           LoadLittle<uint16_t>(head, 2), std::to_integer<int>(head[7])));
  }
  file.columns = LoadLittle<uint16_t>(head, 88);
  file.rows = LoadLittle<uint16_t>(head, 90);
  if (file.columns == 0 || file.columns % 2 != 0 || file.rows == 0) {
    return Error::Corrupt("not the size of a folded frame")
        .In(path.string())
        .AtOffset(88)
        .Expected("an even number of columns, and rows")
        .Found(fmt::format("{} columns, {} rows", file.columns, file.rows));
  }
  file.declared_frames = LoadLittle<uint32_t>(head, 1020);
  const uint64_t body = size - kFileHeaderBytes;
  file.frame_count = static_cast<int64_t>(body / file.RecordBytes());
  if (file.declared_frames > 0 && file.declared_frames < file.frame_count) {
    file.frame_count = file.declared_frames;
  }
  file.trailing_bytes = body - static_cast<uint64_t>(file.frame_count) * file.RecordBytes();
  return file;
}

std::optional<std::pair<std::string, int64_t>> ParseName(const std::filesystem::path& path) {
  if (Lowercase(path.extension().string()) != ".frms6") return std::nullopt;
  const std::string stem = path.stem().string();
  const size_t digits = stem.find_last_not_of("0123456789") + 1;
  if (digits < 2 || digits == stem.size() || stem[digits - 1] != '_') return std::nullopt;
  const auto number = ParseCount(std::string_view(stem).substr(digits));
  if (!number) return std::nullopt;
  return std::pair(stem.substr(0, digits - 1), *number);
}

}  // namespace penstock::ingest::frms6
