#include "ingest/formats/mib/mib_sidecar.h"

#include <fmt/format.h>

#include <charconv>

#include "penstock/base/file.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kMaxSidecarBytes = uint64_t{1} << 20;
constexpr size_t kMaxComplaints = 20;

// NUL, which text in HDF5 cannot hold, becomes the four characters \\x00.
std::string Latin1ToUtf8(std::string_view latin1) {
  std::string utf8;
  utf8.reserve(latin1.size());
  for (const char c : latin1) {
    const auto code = static_cast<unsigned char>(c);
    if (code == 0) {
      utf8 += "\\x00";
    } else if (code < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xC0 | code >> 6);
      utf8 += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return utf8;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

void Complain(MibSidecar& sidecar, std::string complaint) {
  if (sidecar.complaints.size() < kMaxComplaints)
    sidecar.complaints.push_back(std::move(complaint));
}

void ParseLine(std::string_view line, int number, MibSidecar& sidecar) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos) {
    Complain(sidecar, fmt::format("line {} has no tab between key and value", number));
    return;
  }
  std::string_view key = line.substr(0, tab);
  if (key.ends_with(':')) key.remove_suffix(1);
  const std::string value(Trim(line.substr(tab + 1)));
  const auto [existing, inserted] = sidecar.values.emplace(key, value);
  if (!inserted && existing->second != value) {
    Complain(sidecar, fmt::format("line {} gives '{}' again with another value, '{}' and '{}'; the "
                                  "first is used",
                                  number, key, existing->second, value));
  }
}

}  // namespace

std::optional<std::string> MibSidecar::Get(std::string_view key) const {
  const auto found = values.find(std::string(key));
  if (found == values.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::optional<int64_t> MibSidecar::GetCount(std::string_view key) const {
  const auto text = Get(key);
  if (!text) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0) return std::nullopt;
  return value;
}

Result<MibSidecar> ParseMibSidecar(const std::filesystem::path& path, std::string_view contents) {
  if (!contents.starts_with("HDR")) {
    return Error::Corrupt("this is not a Merlin .hdr file")
        .In(path)
        .At("line 1")
        .Expected("a first line that starts with 'HDR'")
        .Found(contents.empty() ? "an empty file" : "something else");
  }
  MibSidecar sidecar;
  sidecar.path = path;
  sidecar.text = Latin1ToUtf8(contents);
  std::string_view rest = sidecar.text;
  bool ended = false;
  for (int number = 1; !rest.empty() && !ended; ++number) {
    const size_t newline = rest.find('\n');
    std::string_view line = rest.substr(0, newline);
    rest = newline == std::string_view::npos ? std::string_view() : rest.substr(newline + 1);
    if (number == 1 || Trim(line).empty()) continue;
    if (line.starts_with("End") && Trim(line.substr(3)).empty()) {
      ended = true;
    } else {
      ParseLine(line, number, sidecar);
    }
  }
  if (!ended) Complain(sidecar, "there is no 'End' line: the file may be cut");
  return sidecar;
}

Result<MibSidecar> ReadMibSidecar(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string contents, ReadWholeFile(path, kMaxSidecarBytes));
  return ParseMibSidecar(path, contents);
}

}  // namespace penstock::ingest
