#include "catalog/index/store_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string>

#include "penstock/base/file.h"
#include "penstock/catalog/catalog.h"

namespace penstock::catalog {

namespace {

Result<std::filesystem::path> Resolve(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::path resolved = std::filesystem::canonical(path, code);
  if (code) return Error::FromErrno(code.value(), "cannot resolve the path").In(path);
  return resolved;
}

}  // namespace

Result<StoreFolder> StoreFolder::Of(const std::filesystem::path& store) {
  StoreFolder folder;
  PENSTOCK_ASSIGN_OR_RETURN(folder.root_, Resolve(store));
  struct stat status {};
  if (stat(folder.root_.c_str(), &status) != 0) {
    return Error::FromErrno(errno, "cannot stat the store").In(store);
  }
  if (!S_ISDIR(status.st_mode)) return Error::NotFound("the store is not a directory").In(store);
  folder.mode_ = status.st_mode & 07777;
  return folder;
}

Status StoreFolder::CreateFolder(const std::filesystem::path& directory) const {
  if (mkdir(directory.c_str(), 0700) != 0) {
    if (errno == EEXIST) return {};
    return Error::FromErrno(errno, "cannot create the directory").In(directory);
  }
  // After the fact because of the umask. Some file systems have no permissions to set.
  (void)chmod(directory.c_str(), mode_);
  return {};
}

bool IsHiddenName(std::string_view name) { return name.empty() || name.front() == '.'; }

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    size_t more = 0;
    uint32_t point = lead;
    if (lead >= 0x80) {
      if (lead >= 0xc2 && lead <= 0xdf) {
        more = 1;
        point = lead & 0x1fU;
      } else if (lead >= 0xe0 && lead <= 0xef) {
        more = 2;
        point = lead & 0x0fU;
      } else if (lead >= 0xf0 && lead <= 0xf4) {
        more = 3;
        point = lead & 0x07U;
      } else {
        return false;
      }
    }
    if (text.size() - i <= more) return false;
    for (size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0U) != 0x80) return false;
      point = point << 6 | (next & 0x3fU);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (overlong || surrogate || point > 0x10ffff) return false;
    i += more + 1;
  }
  return true;
}

std::optional<std::filesystem::path> FindStore(const std::filesystem::path& path) {
  const Result<std::filesystem::path> resolved = Resolve(path);
  if (!resolved.ok()) return std::nullopt;
  std::filesystem::path candidate = *resolved;
  while (true) {
    std::error_code code;
    if (std::filesystem::is_directory(candidate / ".penstock", code)) return candidate;
    if (!candidate.has_relative_path()) return std::nullopt;
    candidate = candidate.parent_path();
  }
}

Result<std::string> PathInStore(const std::filesystem::path& store,
                                const std::filesystem::path& dataset_directory) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::filesystem::path root, Resolve(store));
  PENSTOCK_ASSIGN_OR_RETURN(const std::filesystem::path directory, Resolve(dataset_directory));
  const std::filesystem::path relative = directory.lexically_relative(root);
  if (relative.empty() || relative == "." || *relative.begin() == "..") {
    return Error::InvalidArgument("the dataset does not lie below the store")
        .In(dataset_directory)
        .Expected("a directory below " + root.string())
        .Found(directory.string());
  }
  for (const std::filesystem::path& component : relative) {
    if (!IsHiddenName(component.native())) continue;
    return Error::InvalidArgument("hidden directories are not catalogued")
        .In(dataset_directory)
        .Found(relative.string())
        .Advice("Give the directory a name that does not begin with a dot");
  }
  if (!IsUtf8(relative.native())) {
    return Error::Unsupported("the name of the dataset is not UTF-8").In(dataset_directory);
  }
  return relative.string();
}

}  // namespace penstock::catalog
