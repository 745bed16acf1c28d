#include "ingest/repack/copy_rest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"
#include "penstock/dataset/repacked_description.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kMaximumListBytes = uint64_t{64} << 20;
constexpr size_t kBufferBytes = size_t{1} << 20;

// Gives the digest of what was copied.
Result<std::string> CopyFile(const std::filesystem::path& from, const std::filesystem::path& to) {
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(to.parent_path()));
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor source, OpenFile(from, O_RDONLY | O_NOFOLLOW));
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor copy, OpenFile(to, O_WRONLY | O_CREAT | O_TRUNC));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(source.get(), from));
  FileHasher hasher;
  std::vector<std::byte> buffer(kBufferBytes);
  for (uint64_t at = 0; at < identity.size;) {
    const auto part =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), identity.size - at));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(source.get(), at, part, from));
    PENSTOCK_RETURN_IF_ERROR(WriteFully(copy.get(), at, part, to));
    hasher.Update(part);
    at += part.size();
  }
  return hasher.HexDigest();
}

void TakeOver(const std::filesystem::path& from, const std::filesystem::path& to, bool with_mode,
              bool& refused) {
  struct stat like {};
  struct stat now {};
  if (lstat(from.c_str(), &like) != 0 || lstat(to.c_str(), &now) != 0) return;
  const bool same_owner = like.st_uid == now.st_uid && like.st_gid == now.st_gid;
  if (!same_owner && lchown(to.c_str(), like.st_uid, like.st_gid) != 0) refused = true;
  if (with_mode && (like.st_mode & 07777) != (now.st_mode & 07777) &&
      chmod(to.c_str(), like.st_mode & 07777) != 0) {
    refused = true;
  }
}

}  // namespace

Status CopyRest(const std::filesystem::path& dataset, const std::filesystem::path& staging,
                ProgressSink& progress) {
  const std::filesystem::path list_path = dataset / kChecksumListName;
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(list_path, kMaximumListBytes));
  PENSTOCK_ASSIGN_OR_RETURN(ChecksumList list, ParseChecksumList(text, list_path));
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator entry(dataset, code), end;
       !code && entry != end; entry.increment(code)) {
    std::error_code problem;
    const auto type = entry->symlink_status(problem).type();
    const std::string name = entry->path().lexically_relative(dataset).generic_string();
    if (type == std::filesystem::file_type::directory) {
      PENSTOCK_RETURN_IF_ERROR(CreateDirectories(staging / name));
      continue;
    }
    const auto listed = list.find(name);
    const std::string expected = listed == list.end() ? "" : listed->second;
    if (listed != list.end()) list.erase(listed);
    if (IsRepackedFile(name)) continue;
    if (type != std::filesystem::file_type::regular) {
      return Error::Unsupported("the dataset holds something that is not a regular file")
          .In(entry->path().string())
          .Advice("move it elsewhere");
    }
    PENSTOCK_ASSIGN_OR_RETURN(const std::string found, CopyFile(entry->path(), staging / name));
    if (expected.empty()) {
      progress.Note(fmt::format("{}: not listed in {}, copied as it is", name, kChecksumListName));
    } else if (found != expected) {
      return Error::Corrupt("the file is damaged")
          .In(entry->path().string())
          .Expected("XXH3-128 " + expected)
          .Found(found)
          .Advice("`penstock verify` lists all damage; restore the file from another copy");
    }
  }
  if (code) return Error::FromErrno(code.value(), "cannot list the dataset").In(dataset.string());
  for (const auto& [name, digest] : list) {
    if (IsRepackedFile(name)) continue;
    return Error::Corrupt("the file is missing")
        .In((dataset / name).string())
        .Expected("XXH3-128 " + digest);
  }
  return Status::Ok();
}

void CopyOwnership(const std::filesystem::path& dataset, const std::filesystem::path& staging,
                   ProgressSink& progress) {
  bool refused = false;
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator entry(staging, code), end;
       !code && entry != end; entry.increment(code)) {
    const std::filesystem::path name = entry->path().lexically_relative(staging);
    std::error_code problem;
    const bool known = std::filesystem::exists(dataset / name, problem);
    TakeOver(known ? dataset / name : dataset, entry->path(), known, refused);
  }
  TakeOver(dataset, staging, true, refused);
  if (refused) progress.Note("remark: owners or modes could not be kept for all files");
}

}  // namespace penstock::ingest
