// Names and permissions inside STORE/.penstock, and paths relative to a store.

#ifndef PENSTOCK_CATALOG_INDEX_STORE_FOLDER_H_
#define PENSTOCK_CATALOG_INDEX_STORE_FOLDER_H_

#include <sys/types.h>

#include <filesystem>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock::catalog {

// The resolved paths of one store. Nothing is created by constructing it.
class StoreFolder {
 public:
  // kNotFound where the store is not a directory.
  static Result<StoreFolder> Of(const std::filesystem::path& store);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path folder() const { return root_ / ".penstock"; }
  std::filesystem::path index() const { return folder() / "catalog"; }
  std::filesystem::path pending() const { return folder() / "pending"; }
  std::filesystem::path lock() const { return folder() / "catalog.lock"; }
  std::filesystem::path verifications() const { return folder() / "verifications.jsonl"; }
  std::filesystem::path dataset(std::string_view path) const { return root_ / path; }

  // Creates `folder` or a directory inside it with the permissions of the store itself: whoever may
  // add a dataset may also note it.
  Status CreateFolder(const std::filesystem::path& directory) const;
  // The store's permissions for a plain file.
  mode_t FileMode() const { return mode_ & 0666; }

 private:
  std::filesystem::path root_;
  mode_t mode_ = 0755;
};

// True for names that the catalog never enters: "", ".", "..", and hidden ones.
bool IsHiddenName(std::string_view name);

bool IsUtf8(std::string_view text);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_STORE_FOLDER_H_
