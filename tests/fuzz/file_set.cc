#include "tests/fuzz/file_set.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>

namespace penstock::ingest {

namespace {

constexpr std::string_view kMagic = "PFS1";
constexpr size_t kMaxFiles = 24;
constexpr int kMaxDepth = 8;

class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}
  bool empty() const { return rest_.empty(); }
  std::string_view Take(size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  uint32_t Number(size_t bytes) {
    uint32_t value = 0;
    const std::string_view taken = Take(bytes);
    for (size_t i = 0; i < taken.size(); ++i) {
      value |= uint32_t{static_cast<unsigned char>(taken[i])} << (8 * i);
    }
    return value;
  }

 private:
  std::string_view rest_;
};

// No separators, no "..", nothing that a shell would mind.
std::string HarmlessComponent(std::string_view name) {
  std::string harmless(name.substr(0, 100));
  std::ranges::replace_if(
      harmless,
      [](unsigned char c) {
        return (std::isalnum(c) == 0) && c != '.' && c != '_' && c != '-' && c != ' ';
      },
      '_');
  if (harmless.empty() || harmless.find_first_not_of('.') == std::string::npos) return "x";
  return harmless;
}

// Below the folder, whatever the name is.
std::filesystem::path HarmlessName(std::string_view name) {
  std::filesystem::path path;
  for (int depth = 0; depth < kMaxDepth; ++depth) {
    const size_t end = name.find('/');
    path /= HarmlessComponent(name.substr(0, end));
    if (end == std::string_view::npos) break;
    name.remove_prefix(end + 1);
  }
  return path;
}

void Write(const std::filesystem::path& path, std::string_view contents) {
  // Where one of the folders is a file of the set, there is no such file.
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  std::ofstream(path, std::ios::binary) << contents;
}

}  // namespace

std::filesystem::path WriteFileSet(std::span<const std::byte> input,
                                   const std::filesystem::path& folder,
                                   std::string_view name_of_single_file) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  if (!bytes.starts_with(kMagic)) {
    const std::filesystem::path only = folder / name_of_single_file;
    Write(only, bytes);
    return only;
  }
  Cursor cursor(bytes.substr(kMagic.size()));
  std::filesystem::path first;
  for (size_t i = 0; i < kMaxFiles && !cursor.empty(); ++i) {
    const size_t name_length = cursor.Number(1);
    const std::filesystem::path path = folder / HarmlessName(cursor.Take(name_length));
    const size_t length = cursor.Number(4);
    Write(path, cursor.Take(length));
    if (first.empty()) first = path;
  }
  return first.empty() ? folder / name_of_single_file : first;
}

}  // namespace penstock::ingest
