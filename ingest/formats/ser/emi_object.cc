#include "ingest/formats/ser/emi_object.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "ingest/formats/ser/byte_cursor.h"
#include "penstock/base/file.h"

namespace penstock::ingest::ser {

namespace {

constexpr std::string_view kOpening = "<ObjectInfo>";
constexpr std::string_view kClosing = "</ObjectInfo>";
constexpr size_t kWindowBytes = 1 << 20;
constexpr uint64_t kMaxBlockBytes = uint64_t{16} << 20;
constexpr uint64_t kMaxKeptBytes = uint64_t{64} << 20;
constexpr size_t kMaxBlocks = 4096;
// A block with nothing but a Uuid, as displays have, is 74 bytes long.
constexpr size_t kMinUsefulBytes = 128;
// Room for the records in front of a block: type, number, length and text of the two names.
constexpr size_t kPrefaceBytes = 1024;

// Finds texts in a file through a sliding window.
class FileSearch {
 public:
  FileSearch(int fd, uint64_t file_bytes, const std::filesystem::path& path)
      : fd_(fd), file_bytes_(file_bytes), path_(path), window_(kWindowBytes) {}

  // The first position in [from, limit) at which `text` begins; file_bytes when there is none.
  Result<uint64_t> Find(std::string_view text, uint64_t from, uint64_t limit) {
    limit = std::min(limit, file_bytes_);
    while (from < limit) {
      PENSTOCK_ASSIGN_OR_RETURN(const size_t read, ReadSome(fd_, from, window_, path_));
      if (read < text.size()) break;
      const std::string_view bytes(reinterpret_cast<const char*>(window_.data()), read);
      const size_t at = bytes.find(text);
      if (at != std::string_view::npos) return from + at < limit ? from + at : file_bytes_;
      from += read - (text.size() - 1);
    }
    return file_bytes_;
  }

 private:
  int fd_;
  uint64_t file_bytes_;
  const std::filesystem::path& path_;
  std::vector<std::byte> window_;
};

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80             ? 1
                          : (lead & 0xe0) == 0xc0 ? 2
                          : (lead & 0xf0) == 0xe0 ? 3
                          : (lead & 0xf8) == 0xf0 ? 4
                                                  : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

std::string ToUtf8(std::string text) {
  if (IsUtf8(text)) return text;
  std::string utf8;
  utf8.reserve(text.size() * 2);
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x80) {
      utf8.push_back(character);
    } else {
      utf8.push_back(static_cast<char>(0xc0 | (byte >> 6)));
      utf8.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return utf8;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char character) {
    return static_cast<char>(std::tolower(character));
  });
  return lower;
}

// A text record that ends at `end` of `preface`: `60 00`, `code`, 04, u32 length, text.
struct TextRecord {
  size_t start = 0;
  std::string text;
};
std::optional<TextRecord> TextRecordEndingAt(std::string_view preface, size_t end,
                                             unsigned char code) {
  const char signature[] = {0x60, 0x00, static_cast<char>(code), 0x04};
  constexpr size_t kHead = sizeof(signature) + 4;
  for (size_t start = end >= kHead ? end - kHead + 1 : 0; start-- > 0;) {
    if (preface.compare(start, sizeof(signature), signature, sizeof(signature)) != 0) continue;
    const auto length = LoadLittle<uint32_t>(AsBytes(preface), start + sizeof(signature));
    if (start + kHead + length != end) continue;
    return TextRecord{start, std::string(preface.substr(start + kHead, length))};
  }
  return std::nullopt;
}

void ReadPreface(std::string_view preface, EmiObject& object) {
  const size_t extension = Lower(preface).rfind(".ser");
  if (extension == std::string::npos) return;
  const auto path = TextRecordEndingAt(preface, extension + 4, 0x40);
  if (!path) return;
  object.ser_path = ToUtf8(path->text);
  const auto space = TextRecordEndingAt(preface, path->start, 0x00);
  if (space && (space->text == "Real Space" || space->text == "Reciprocal Space")) {
    object.space = space->text;
  }
}

// The bytes of a block that matter to whoever asks what kind of data it describes.
bool DescribesSpectra(const EmiObject& object) {
  return object.xml.find("<NumberSpectra>") != std::string::npos;
}
// TIA keeps a copy of the image in which the scan area was chosen; it has no .ser file.
bool IsCopyOfImage(const EmiObject& object) {
  return object.xml.find("<OriginalImageUuid>") != std::string::npos;
}

}  // namespace

std::optional<SeriesName> ParseSeriesName(const std::string& file_name) {
  const std::string lower = Lower(file_name);
  if (!lower.ends_with(".ser")) return std::nullopt;
  const std::string name = file_name.substr(0, file_name.size() - 4);
  const size_t underscore = name.rfind('_');
  if (underscore == std::string::npos || underscore == 0) return std::nullopt;
  SeriesName series{name.substr(0, underscore), 0};
  const char* const begin = name.data() + underscore + 1;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, series.number);
  if (error != std::errc() || stop != end || begin == end) return std::nullopt;
  return series;
}

Result<std::vector<EmiObject>> ReadEmiObjects(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  FileSearch search(fd.get(), identity.size, path);
  std::vector<EmiObject> objects;
  uint64_t kept_bytes = 0;
  uint64_t previous_end = 0;
  for (size_t block = 0; block < kMaxBlocks; ++block) {
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t begin,
                              search.Find(kOpening, previous_end, identity.size));
    if (begin == identity.size) break;
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t closing,
                              search.Find(kClosing, begin, begin + kMaxBlockBytes));
    if (closing == identity.size) {
      return Error::Corrupt("an ObjectInfo block does not end")
          .In(path.string())
          .AtOffset(begin)
          .Expected(fmt::format("'{}' within {} MiB", kClosing, kMaxBlockBytes >> 20))
          .Found("none")
          .Advice("check whether the file was copied completely");
    }
    const uint64_t end = closing + kClosing.size();
    EmiObject object;
    object.offset = begin;
    if (end - begin >= kMinUsefulBytes && kept_bytes + (end - begin) <= kMaxKeptBytes) {
      const uint64_t preface = begin - std::min<uint64_t>(begin - previous_end, kPrefaceBytes);
      std::string text(end - preface, '\0');
      PENSTOCK_RETURN_IF_ERROR(
          ReadFully(fd.get(), preface, std::as_writable_bytes(std::span(text)), path));
      ReadPreface(std::string_view(text).substr(0, begin - preface), object);
      object.xml = ToUtf8(text.substr(begin - preface));
      kept_bytes += object.xml.size();
    }
    objects.push_back(std::move(object));
    previous_end = end;
  }
  return objects;
}

std::optional<EmiObject> SelectEmiObject(std::vector<EmiObject> objects, uint32_t k) {
  bool paths = false;
  for (EmiObject& object : objects) {
    if (object.ser_path.empty()) continue;
    paths = true;
    // The path is that of the microscope's computer, where folders end with a backslash; the files
    // may have been renamed together since, so that only the number counts.
    const size_t slash = object.ser_path.find_last_of("\\/");
    const auto name = ParseSeriesName(
        slash == std::string::npos ? object.ser_path : object.ser_path.substr(slash + 1));
    if (!name || name->number != k || object.xml.empty()) continue;
    object.match_note =
        fmt::format("ObjectInfo at offset {}, behind the path {}", object.offset, object.ser_path);
    return std::move(object);
  }
  if (paths || k == 0 || k > objects.size()) return std::nullopt;
  EmiObject& object = objects[k - 1];
  if (object.xml.empty() || DescribesSpectra(object) || IsCopyOfImage(object)) return std::nullopt;
  object.match_note = fmt::format("ObjectInfo number {}, at offset {}", k, object.offset);
  return std::move(object);
}

bool LooksLikeEmi(const std::filesystem::path& path) {
  const auto fd = OpenFile(path, O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return false;
  const auto identity = IdentifyFile(fd->get(), path);
  if (!identity.ok()) return false;
  FileSearch search(fd->get(), identity->size, path);
  const auto found = search.Find(kOpening, 0, kMaxKeptBytes);
  return found.ok() && *found < identity->size;
}

}  // namespace penstock::ingest::ser
