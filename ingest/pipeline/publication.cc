#include "ingest/pipeline/publication.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "penstock/base/file.h"

namespace penstock::ingest {

namespace {

// What file systems answer that do not know the flags of renameat2.
bool IsUnsupported(int error_number) {
  return error_number == EINVAL || error_number == ENOSYS || error_number == EOPNOTSUPP;
}

Error CannotRename(int error_number, const std::filesystem::path& from,
                   const std::filesystem::path& to) {
  return Error::FromErrno(error_number, "cannot rename to " + to.string()).In(from.string());
}

Error Exists(const std::filesystem::path& destination) {
  return Error::AlreadyExists("the destination exists")
      .In(destination.string())
      .Advice("choose another name, or give --replace to replace it once the new one is whole");
}

Status Rename(const std::filesystem::path& from, const std::filesystem::path& to,
              unsigned int flags) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) return Status::Ok();
  return CannotRename(errno, from, to);
}

}  // namespace

StagingPaths StagingPaths::Of(const std::filesystem::path& destination) {
  StagingPaths paths;
  paths.destination = destination;
  paths.parent = destination.parent_path();
  const std::string hidden = "." + destination.filename().string();
  paths.staging = paths.parent / (hidden + ".ingest");
  paths.journal = paths.parent / (hidden + ".ingest.journal");
  paths.replaced = paths.parent / (hidden + ".replaced");
  return paths;
}

bool NameExists(const std::filesystem::path& path) {
  struct stat information {};
  return lstat(path.c_str(), &information) == 0;
}

Status SyncTree(const std::filesystem::path& staging) {
  std::error_code problem;
  std::filesystem::recursive_directory_iterator entry(staging, problem);
  for (; !problem && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(problem)) {
    if (entry->is_directory(problem)) PENSTOCK_RETURN_IF_ERROR(SyncDirectory(entry->path()));
  }
  if (problem) {
    return Error::FromErrno(problem.value(), "cannot list").In(staging.string());
  }
  return SyncDirectory(staging);
}

Status PublishNew(const StagingPaths& paths) {
  const std::filesystem::path& from = paths.staging;
  const std::filesystem::path& to = paths.destination;
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return Exists(to);
    if (!IsUnsupported(errno)) return CannotRename(errno, from, to);
    // An empty directory takes the name, which fails if somebody has it; a rename onto an empty
    // directory is atomic everywhere.
    if (mkdir(to.c_str(), 0755) != 0) {
      if (errno == EEXIST) return Exists(to);
      return Error::FromErrno(errno, "cannot create").In(to.string());
    }
    if (std::rename(from.c_str(), to.c_str()) != 0) {
      const int error_number = errno;
      rmdir(to.c_str());
      return CannotRename(error_number, from, to);
    }
  }
  return SyncDirectory(paths.parent);
}

Status PublishInPlaceOf(const StagingPaths& paths) {
  if (!NameExists(paths.destination)) return PublishNew(paths);
  const std::filesystem::path& from = paths.staging;
  const std::filesystem::path& to = paths.destination;
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    return SyncDirectory(paths.parent);
  }
  if (errno == ENOENT) return PublishNew(paths);
  if (!IsUnsupported(errno)) return CannotRename(errno, from, to);
  PENSTOCK_RETURN_IF_ERROR(Rename(to, paths.replaced, 0));
  PENSTOCK_RETURN_IF_ERROR(SyncDirectory(paths.parent));
  Status published = PublishNew(paths);
  if (!published.ok()) {
    // The old one back, whatever was in the way.
    if (!NameExists(to)) PENSTOCK_RETURN_IF_ERROR(Rename(paths.replaced, to, 0));
    return published;
  }
  return Status::Ok();
}

Status UndoHalfReplacement(const StagingPaths& paths) {
  if (!NameExists(paths.replaced) || NameExists(paths.destination)) return Status::Ok();
  PENSTOCK_RETURN_IF_ERROR(Rename(paths.replaced, paths.destination, 0));
  return SyncDirectory(paths.parent);
}

Status KeepBlocksOnly(const std::filesystem::path& staging) {
  // Down the one path that leads to the blocks, everything beside it goes.
  std::filesystem::path folder = staging;
  std::error_code problem;
  for (const char* kept : {"data.zarr", "real", "c"}) {
    for (std::filesystem::directory_iterator entry(folder, problem), end; !problem && entry != end;
         entry.increment(problem)) {
      const std::filesystem::path name = entry->path().filename();
      if (name == kept || name == "frame_header") continue;
      PENSTOCK_RETURN_IF_ERROR(RemoveTree(entry->path()));
    }
    folder /= kept;
    if (problem || !NameExists(folder)) break;
  }
  if (!problem && NameExists(folder)) {
    for (std::filesystem::recursive_directory_iterator entry(folder, problem), end;
         !problem && entry != end; entry.increment(problem)) {
      if (entry->path().extension() == ".part") PENSTOCK_RETURN_IF_ERROR(RemoveTree(entry->path()));
    }
  }
  if (problem) return Error::FromErrno(problem.value(), "cannot list").In(folder.string());
  return Status::Ok();
}

Status RemoveTree(const std::filesystem::path& path) {
  std::error_code problem;
  std::filesystem::remove_all(path, problem);
  if (problem) return Error::FromErrno(problem.value(), "cannot remove").In(path.string());
  return Status::Ok();
}

}  // namespace penstock::ingest
