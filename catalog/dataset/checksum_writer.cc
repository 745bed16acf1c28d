#include "catalog/dataset/checksum_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"

namespace penstock {

namespace {

Status SyncFile(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  if (fsync(fd.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(path);
  return {};
}

}  // namespace

Status WriteChecksumList(const std::filesystem::path& directory, ChecksumList known) {
  std::vector<std::filesystem::path> directories{directory};
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator entry(directory, code), end;
       !code && entry != end; entry.increment(code)) {
    if (entry->is_directory()) {
      directories.push_back(entry->path());
      continue;
    }
    const std::string name = entry->path().lexically_relative(directory).generic_string();
    if (name == kChecksumListName || known.contains(name)) continue;
    // WriteNewFile has synced its files.
    if (!name.ends_with(".json")) PENSTOCK_RETURN_IF_ERROR(SyncFile(entry->path()));
    PENSTOCK_ASSIGN_OR_RETURN(known[name], HashFile(entry->path()));
  }
  if (code) return Error::FromErrno(code.value(), "cannot list the dataset").In(directory);
  for (const std::filesystem::path& each : directories) {
    PENSTOCK_RETURN_IF_ERROR(SyncDirectory(each));
  }
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(directory / kChecksumListName, ChecksumListText(known)));
  return SyncDirectory(directory);
}

}  // namespace penstock
