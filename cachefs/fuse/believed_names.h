// BelievedNames: how long the kernel may believe what it was told of a name.
//
// A second, as a rule: then it asks again. The entries of a large directory are believed for longer
// where neither they nor the directory have changed lately, so that whoever lists such a directory
// and looks at each entry has the daemon asked once and not every time. The price is bounded:
//
// - Directories with times of their own are looked at once a second meanwhile; where a name has
//   come, gone or been replaced, TakeChanged names the directory, and the kernel is to be told.
// - What changes in a file in place, its contents or its mode, changes nothing in the directory. It
//   is seen when the time is over, or when the file is opened: every open asks the store.
// - Of stores whose listings have attributes (HTTP, S3) the entries are answered from the listing
//   for the same time, instead of by a question each.
//
// Thread-safe. Nothing here waits for the store but ListedAs and TakeChanged.

#ifndef PENSTOCK_CACHEFS_FUSE_BELIEVED_NAMES_H_
#define PENSTOCK_CACHEFS_FUSE_BELIEVED_NAMES_H_

#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// How long the kernel believes names and attributes, seconds.
inline constexpr double kBelievedSeconds = 1.0;

class BelievedNames {
 public:
  using Clock = std::chrono::steady_clock;
  using Listing = std::shared_ptr<const std::vector<DirectoryEntry>>;

  // Smaller ones are looked at quickly anyway.
  static constexpr size_t kLargeDirectory = 64;

  // `longest`: of a second or less, nothing is believed for longer than that. `settle_time`: a file
  // that changed less than this ago may still be being written.
  BelievedNames(std::chrono::milliseconds longest, std::chrono::milliseconds settle_time);

  // A directory was listed. True where an earlier listing is not to be believed any more: it has
  // changed since.
  bool ListedAs(const std::string& directory, const Listing& listing, Upstream& upstream);

  // What the directory's listing said of a name; nothing where it did not say, or too long ago.
  std::optional<struct stat> FromListing(const std::string& directory, const std::string& name);

  // How long an entry of a directory may be believed, whose attributes were asked for after the
  // directory was listed. Only for files and links that are none of a dataset's.
  double SecondsFor(const std::string& directory, const struct stat& entry);

  // Whether what SecondsFor said of the directory before still holds.
  bool Watches(const std::string& directory) const;
  bool watches_any() const;

  // The listing of the directory has been found wrong.
  void Doubt(const std::string& directory);

  // Looks at the directories again; those that have changed, which are not believed any more.
  std::vector<std::string> TakeChanged(Upstream& upstream);

 private:
  struct Directory {
    FileIdentity state;        // of the directory, where it has times
    Listing listing;           // where that has attributes
    Clock::time_point listed;  // of such a listing
    Clock::time_point until;   // when the kernel believes nothing of it any more
    std::unordered_map<std::string_view, const struct stat*> by_name;  // into the listing
  };

  const std::chrono::milliseconds longest_;
  const std::chrono::milliseconds settle_time_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Directory> directories_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FUSE_BELIEVED_NAMES_H_
