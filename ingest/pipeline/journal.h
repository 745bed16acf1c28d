// The journal of an ingest: which plan it follows and which blocks are done.
//
// JSON lines beside the staging directory. The first line is the identity of the plan; then one
// line per finished block and one before publication. A line counts when its newline is there; a
// torn last line is cut off. The file is locked (flock) for as long as the object lives, which is
// what keeps a second ingest out of the same destination.

#ifndef PENSTOCK_INGEST_PIPELINE_JOURNAL_H_
#define PENSTOCK_INGEST_PIPELINE_JOURNAL_H_

#include <filesystem>
#include <mutex>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest {

class Journal {
 public:
  // Opens or creates, locks and reads. kBusy where somebody else holds the lock.
  static Result<std::unique_ptr<Journal>> Open(const std::filesystem::path& path);

  const std::vector<Json>& lines() const { return lines_; }
  // Empties the journal and writes its first line.
  Status Restart(const Json& identity);
  // Durable when it returns. Thread-safe; lines() does not see it.
  Status Append(const Json& line);
  // Deletes the file. Nothing else may be called afterwards.
  Status Remove();

 private:
  Journal(std::filesystem::path path, FileDescriptor fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}
  Status Read();

  std::filesystem::path path_;
  FileDescriptor fd_;
  std::vector<Json> lines_;
  std::mutex mutex_;
  uint64_t end_ = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_JOURNAL_H_
