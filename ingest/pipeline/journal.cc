#include "ingest/pipeline/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::ingest {

namespace {

// Far above what 100 000 blocks need; a larger file is none of ours.
constexpr uint64_t kMaxJournalBytes = uint64_t{1} << 30;

Error Busy(const std::filesystem::path& path) {
  return Error::Busy("another ingest into this destination is running")
      .In(path.string())
      .Advice("wait for it, or stop it first");
}

// Whether `path` still names the file behind `fd`: the one that held the lock before may have
// removed it in between.
bool StillNamed(int fd, const std::filesystem::path& path) {
  struct stat by_descriptor {};
  struct stat by_name {};
  return fstat(fd, &by_descriptor) == 0 && stat(path.c_str(), &by_name) == 0 &&
         by_descriptor.st_ino == by_name.st_ino && by_descriptor.st_dev == by_name.st_dev;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::filesystem::path& path) {
  for (;;) {
    PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDWR | O_CREAT));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return Busy(path);
      return Error::FromErrno(errno, "cannot lock").In(path.string());
    }
    if (!StillNamed(fd.get(), path)) continue;
    std::unique_ptr<Journal> journal(new Journal(path, std::move(fd)));
    PENSTOCK_RETURN_IF_ERROR(journal->Read());
    return journal;
  }
}

Status Journal::Read() {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path_, kMaxJournalBytes));
  size_t begin = 0;
  for (;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                            text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!line.is_object()) break;
    lines_.push_back(std::move(line));
    begin = end + 1;
  }
  end_ = begin;
  if (begin < text.size() && ftruncate(fd_.get(), static_cast<off_t>(begin)) != 0) {
    return Error::FromErrno(errno, "cannot cut off a torn line").In(path_.string());
  }
  return Status::Ok();
}

Status Journal::Restart(const Json& identity) {
  if (ftruncate(fd_.get(), 0) != 0) {
    return Error::FromErrno(errno, "cannot empty").In(path_.string());
  }
  lines_.clear();
  end_ = 0;
  PENSTOCK_RETURN_IF_ERROR(Append(identity));
  return SyncDirectory(path_.parent_path());
}

Status Journal::Append(const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::lock_guard lock(mutex_);
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd_.get(), end_, AsBytes(text), path_));
  if (fdatasync(fd_.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(path_.string());
  end_ += text.size();
  return Status::Ok();
}

Status Journal::Remove() {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return Error::FromErrno(errno, "cannot remove").In(path_.string());
  }
  return SyncDirectory(path_.parent_path());
}

}  // namespace penstock::ingest
