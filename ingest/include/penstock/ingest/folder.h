// Folders with mixed content: which acquisitions are in them, each once.
//
// A format's Open names every file of an acquisition, so that the files of a series, headers, dark
// references and sectors never become acquisitions of their own. Hidden names, symbolic links and
// penstock's datasets are passed over.

#ifndef PENSTOCK_INGEST_FOLDER_H_
#define PENSTOCK_INGEST_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

// How a file is to be opened. Files of one acquisition for which different rules hold are opened by
// the rule of its first file with frames.
struct OpenChoice {
  std::string format;  // empty: detected
  OpenOptions open;
  int64_t rule = 0;
};

struct FolderOptions {
  // By path relative to the root; nothing: the file is left alone. Absent: every file is detected.
  std::function<std::optional<OpenChoice>(const std::filesystem::path& relative)> choose;
  // Whether a file has been still for long enough to be opened. Absent: all have.
  std::function<bool(const std::filesystem::path& path)> is_settled;
  // Files that need not be opened once more; what they belong to is found by other files of it
  // only. Absent: none.
  std::function<bool(const std::filesystem::path& path)> is_done;
};

struct FoundAcquisition {
  std::filesystem::path path;      // what it is opened by
  std::filesystem::path relative;  // the same, relative to the root
  OpenChoice choice;
  std::string format;
  // As SourceDescription has them.
  std::vector<std::filesystem::path> files;
  uint64_t bytes = 0;  // of all files
  // Null where so many were found in the folder that it was closed again.
  std::shared_ptr<FrameSource> source;

  // `source`, or opened again.
  Result<std::shared_ptr<FrameSource>> Open() const;
};

struct LeftOut {
  std::filesystem::path path;
  Error reason;
  uint64_t bytes = 0;
};

struct FolderContents {
  std::vector<FoundAcquisition> acquisitions;    // by path
  std::vector<LeftOut> unknown;                  // no format knows these files
  std::vector<LeftOut> unsupported;              // a known format, but not what penstock ingests
  std::vector<LeftOut> failed;                   // a known format that could not be opened
  std::vector<std::filesystem::path> unsettled;  // not looked into yet
  std::vector<std::filesystem::path> folders;    // to be looked into, by name
};

// What lies in one folder, not below it. One per walk: files that an acquisition has in other
// folders are remembered. Not thread-safe.
class FolderExaminer {
 public:
  // `root`: absolute and normal, without '/' at its end.
  FolderExaminer(std::filesystem::path root, FolderOptions options)
      : root_(std::move(root)), options_(std::move(options)) {}

  // `folder` is the root or lies below it. Errors: the folder cannot be listed; kCancelled.
  Result<FolderContents> Examine(const std::filesystem::path& folder, const std::stop_token& stop);

 private:
  std::filesystem::path root_;
  FolderOptions options_;
  std::set<std::filesystem::path> claimed_elsewhere_;
};

// A name that a walk over vendors' folders looks at: not hidden.
bool IsVisibleName(const std::filesystem::path& path);

struct FolderSize {
  int64_t files = 0;
  uint64_t bytes = 0;
};
// Of all files that a walk would look at. Folders that cannot be listed count nothing.
FolderSize MeasureFolder(const std::filesystem::path& root, const std::stop_token& stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FOLDER_H_
