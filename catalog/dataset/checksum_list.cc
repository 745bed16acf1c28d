#include "penstock/dataset/checksum_list.h"

#include <utility>

namespace penstock {

namespace {

constexpr size_t kDigestDigits = 32;
constexpr std::string_view kSeparator = "  ";

bool IsInside(const std::filesystem::path& path) {
  if (path.empty() || path.is_absolute()) return false;
  for (const std::filesystem::path& part : path) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace

bool IsDigest(std::string_view text) {
  return text.size() == kDigestDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string ChecksumListText(const ChecksumList& list) {
  std::string text;
  for (const auto& [path, digest] : list) text.append(digest).append("  ./").append(path) += '\n';
  return text;
}

Result<ChecksumList> ParseChecksumList(std::string_view text,
                                       const std::filesystem::path& name_for_errors) {
  ChecksumList list;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string_view digest = line.substr(0, kDigestDigits);
    std::string_view path;
    if (line.size() > kDigestDigits + kSeparator.size() &&
        line.substr(kDigestDigits, kSeparator.size()) == kSeparator) {
      path = line.substr(kDigestDigits + kSeparator.size());
    }
    if (path.starts_with("./")) path.remove_prefix(2);
    if (end == std::string_view::npos || !IsDigest(digest) || !IsInside(path)) {
      return Error::Corrupt("this is not a line of a list of checksums")
          .In(name_for_errors)
          .At("line " + std::to_string(line_number))
          .Expected("32 hexadecimal digits, two spaces, a path inside of the dataset")
          .Found("'" + std::string(line.substr(0, 100)) + "'");
    }
    list[std::string(path)] = digest;
  }
  return list;
}

}  // namespace penstock
