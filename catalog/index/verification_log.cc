#include "catalog/index/verification_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "catalog/index/entry_codec.h"
#include "penstock/base/file.h"

namespace penstock::catalog {

namespace {

constexpr size_t kReadBytes = size_t{256} << 10;
constexpr size_t kMaxLineBytes = size_t{64} << 10;

std::string KeyOf(std::string_view path, std::string_view generation) {
  return std::string(path).append(1, '\0').append(generation);
}

void TakeLine(std::string_view line, std::string_view wanted, VerificationLog& log) {
  if (line.empty()) return;
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  const std::optional<VerifyRecord> record =
      json.is_object() ? VerifyRecordFromJson(json) : std::nullopt;
  const auto path = json.is_object() ? json.find("path") : json.end();
  if (!record || path == json.end() || !path->is_string()) {
    ++log.unreadable_lines;
    return;
  }
  const std::string name = *path;
  if (wanted.empty() || name == wanted) log.latest[KeyOf(name, record->generation)] = *record;
}

// Whether the file ends in the middle of a line: the machine died while one was written.
Result<bool> EndsTorn(int fd, const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd, path));
  if (identity.size == 0) return false;
  std::byte last{};
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, identity.size - 1, {&last, 1}, path));
  return last != std::byte{'\n'};
}

}  // namespace

void VerificationLog::Attach(Entry& entry) const {
  const auto found = latest.find(KeyOf(entry.path, entry.generation));
  entry.last_verified =
      found == latest.end() ? std::nullopt : std::optional<VerifyRecord>(found->second);
}

Status AppendVerification(const StoreFolder& store, std::string_view path,
                          const VerifyRecord& record) {
  PENSTOCK_RETURN_IF_ERROR(store.CreateFolder(store.folder()));
  const std::filesystem::path file = store.verifications();
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd,
                            OpenFile(file, O_RDWR | O_APPEND | O_CREAT, store.FileMode()));
  (void)fchmod(fd.get(), store.FileMode());
  Json json{{"path", path}};
  json.update(VerifyRecordToJson(record));
  PENSTOCK_ASSIGN_OR_RETURN(const bool torn, EndsTorn(fd.get(), file));
  const std::string line =
      (torn ? "\n" : "") + json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // One write, so that lines of several processes stay whole.
  const ssize_t put = write(fd.get(), line.data(), line.size());
  if (put != static_cast<ssize_t>(line.size())) {
    return Error::FromErrno(put < 0 ? errno : ENOSPC, "cannot append to the verification log")
        .In(file);
  }
  if (fsync(fd.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(file);
  return {};
}

Result<VerificationLog> ReadVerifications(const StoreFolder& store, std::string_view path) {
  VerificationLog log;
  const std::filesystem::path file = store.verifications();
  Result<FileDescriptor> fd = OpenFile(file, O_RDONLY);
  if (!fd.ok()) {
    if (fd.error().kind() == ErrorKind::kNotFound) return log;
    return std::move(fd).error();
  }
  std::vector<char> buffer(kReadBytes);
  std::string line;
  bool too_long = false;
  uint64_t offset = 0;
  while (true) {
    PENSTOCK_ASSIGN_OR_RETURN(
        const size_t got,
        ReadSome(fd->get(), offset, std::as_writable_bytes(std::span(buffer)), file));
    offset += got;
    std::string_view rest(buffer.data(), got);
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      const std::string_view part = rest.substr(0, end);
      too_long = too_long || line.size() + part.size() > kMaxLineBytes;
      if (!too_long) line += part;
      if (end == std::string_view::npos) break;
      if (too_long) ++log.unreadable_lines;
      if (!too_long) TakeLine(line, path, log);
      line.clear();
      too_long = false;
      rest.remove_prefix(end + 1);
    }
    if (got < buffer.size()) break;
  }
  if (too_long) ++log.unreadable_lines;
  if (!too_long) TakeLine(line, path, log);  // without its line end: torn, or the last of a copy
  return log;
}

}  // namespace penstock::catalog
