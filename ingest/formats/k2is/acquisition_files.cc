#include <algorithm>
#include <cctype>
#include <system_error>

#include "ingest/formats/k2is/acquisition.h"

namespace penstock::ingest::k2is {

namespace {

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

AcquisitionFiles FilesOf(const std::filesystem::path& folder, const std::string& prefix) {
  AcquisitionFiles files;
  files.prefix = prefix;
  for (size_t i = 0; i < files.sectors.size(); ++i) {
    files.sectors[i] = folder / (prefix + std::to_string(i + 1) + ".bin");
    files.exists[i] = Exists(files.sectors[i]);
  }
  if (const auto gtg = folder / (prefix + ".gtg"); Exists(gtg)) files.gtg = gtg;
  return files;
}

}  // namespace

// The names are built, not globbed: brackets in a path mean nothing. "run13.bin" may be sector 3 of
// "run1" or (with "run12.bin", but not with "run11.bin") the wrong reading of a longer number, so
// that the prefix with most files beside it is taken, the longest among equals.
AcquisitionFiles FindAcquisitionFiles(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  std::string stem = path.stem().string();
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".gtg") {
    AcquisitionFiles files = FilesOf(folder, stem);
    files.gtg = path;
    return files;
  }
  AcquisitionFiles best;
  ptrdiff_t most = -1;
  while (!stem.empty() && std::isdigit(static_cast<unsigned char>(stem.back())) != 0) {
    stem.pop_back();
    AcquisitionFiles files = FilesOf(folder, stem);
    const ptrdiff_t count = 2 * std::ranges::count(files.exists, true) + (files.gtg ? 1 : 0);
    if (count > most) {
      most = count;
      best = std::move(files);
    }
  }
  if (most < 0) {  // no number at the end: the file itself is none of the sectors
    best = FilesOf(folder, stem);
  }
  return best;
}

}  // namespace penstock::ingest::k2is
