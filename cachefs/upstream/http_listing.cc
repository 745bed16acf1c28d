#include "cachefs/upstream/http_listing.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "cachefs/upstream/http_values.h"

namespace penstock::cachefs {

namespace {

bool IsName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool StartsWithIgnoringCase(std::string_view text, std::string_view lower_case_start) {
  if (text.size() < lower_case_start.size()) return false;
  for (size_t i = 0; i < lower_case_start.size(); ++i) {
    if (Lower(text[i]) != lower_case_start[i]) return false;
  }
  return true;
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The character references that servers write into links; others are left as they are.
std::string DecodeReferences(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, char>, 5> kNamed{
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  std::string decoded;
  while (!text.empty()) {
    bool found = false;
    for (const auto& [reference, character] : kNamed) {
      if (!text.starts_with(reference)) continue;
      decoded.push_back(character);
      text.remove_prefix(reference.size());
      found = true;
      break;
    }
    if (found) continue;
    const size_t end = text.substr(0, 8).find(';');
    if (text.starts_with("&#") && end != std::string_view::npos) {
      const bool hex = text.size() > 2 && Lower(text[2]) == 'x';
      const std::string_view digits = text.substr(hex ? 3 : 2, end - (hex ? 3 : 2));
      int code = 0;
      const auto [last, failure] =
          std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
      if (failure == std::errc() && last == digits.data() + digits.size() && code > 0 &&
          code < 128) {
        decoded.push_back(static_cast<char>(code));
        text.remove_prefix(end + 1);
        continue;
      }
    }
    decoded.push_back(text.front());
    text.remove_prefix(1);
  }
  return decoded;
}

// The value of href inside the tag that begins with `tag`.
std::optional<std::string_view> HrefOf(std::string_view tag) {
  for (size_t at = 0; at < tag.size(); ++at) {
    if (!IsSpace(tag[at]) || !StartsWithIgnoringCase(tag.substr(at + 1), "href")) continue;
    std::string_view rest = tag.substr(at + 1 + 4);
    while (!rest.empty() && IsSpace(rest.front())) rest.remove_prefix(1);
    if (rest.empty() || rest.front() != '=') continue;
    rest.remove_prefix(1);
    while (!rest.empty() && IsSpace(rest.front())) rest.remove_prefix(1);
    if (rest.empty()) return std::nullopt;
    const char quote = rest.front();
    if (quote == '"' || quote == '\'') return rest.substr(1, rest.find(quote, 1) - 1);
    size_t end = 0;
    while (end < rest.size() && !IsSpace(rest[end]) && rest[end] != '>') ++end;
    return rest.substr(0, end);
  }
  return std::nullopt;
}

// The end of the tag that begins at `begin`: '>' outside quotes.
size_t EndOfTag(std::string_view text, size_t begin) {
  char quote = '\0';
  for (size_t at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '>') {
      return at;
    }
  }
  return text.size();
}

std::optional<DirectoryEntry> EntryOf(std::string_view href, const std::string& directory) {
  std::string link = DecodeReferences(href);
  if (link.find_first_of("?#") != std::string::npos) return std::nullopt;
  if (link.starts_with("./")) link.erase(0, 2);
  const size_t colon = link.find(':');
  if (colon != std::string::npos && colon < link.find('/')) return std::nullopt;  // a scheme
  auto decoded = PercentDecode(link);
  if (!decoded) return std::nullopt;
  std::string name = *std::move(decoded);
  if (name.starts_with('/')) {
    if (!name.starts_with(directory)) return std::nullopt;
    name.erase(0, directory.size());
  }
  // An encoded '/' would be part of a name, which no file system has.
  DirectoryEntry entry{.name = {}, .type = S_IFREG, .inode = 0};
  if (name.ends_with('/')) {
    entry.type = S_IFDIR;
    name.pop_back();
  }
  if (!IsName(name)) return std::nullopt;
  entry.name = std::move(name);
  return entry;
}

}  // namespace

Result<JsonListing> ParseJsonListing(const std::string& text) {
  const auto listing = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!listing.is_array()) {
    return Error(ErrorKind::kIo, "the listing is not a JSON array of files");
  }
  JsonListing result;
  result.entries.reserve(listing.size());
  for (const auto& item : listing) {
    if (!item.is_object() || !item.contains("name") || !item["name"].is_string()) {
      return Error(ErrorKind::kIo, "the listing has an entry without a name");
    }
    std::string name = item["name"].get<std::string>();
    if (!IsName(name)) continue;
    mode_t type = 0;
    if (item.contains("type") && item["type"].is_string()) {
      const std::string word = item["type"].get<std::string>();
      if (word == "file") type = S_IFREG;
      if (word == "directory") type = S_IFDIR;
    }
    result.entries.push_back({.name = std::move(name), .type = type, .inode = 0});
    JsonListing::Attributes& attributes = result.attributes.emplace_back();
    if (item.contains("size") && item["size"].is_number_unsigned()) {
      attributes.size = item["size"].get<uint64_t>();
    }
    if (item.contains("mtime") && item["mtime"].is_string()) {
      attributes.modified = item["mtime"].get<std::string>();
    }
  }
  return result;
}

std::vector<DirectoryEntry> ParseHtmlListing(std::string_view text, const std::string& directory) {
  std::vector<DirectoryEntry> entries;
  std::unordered_set<std::string> seen;
  size_t at = 0;
  while ((at = text.find('<', at)) != std::string_view::npos) {
    if (text.substr(at).starts_with("<!--")) {
      const size_t end = text.find("-->", at);
      if (end == std::string_view::npos) break;
      at = end;
      continue;
    }
    const size_t end = EndOfTag(text, at);
    const std::string_view tag = text.substr(at, end - at);
    at = end;
    if (tag.size() < 3 || Lower(tag[1]) != 'a' || !IsSpace(tag[2])) continue;
    const auto href = HrefOf(tag);
    if (!href) continue;
    auto entry = EntryOf(*href, directory);
    if (entry && seen.insert(entry->name).second) entries.push_back(*std::move(entry));
  }
  return entries;
}

}  // namespace penstock::cachefs
