#include "ingest/formats/mib/mib_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace penstock::ingest {

namespace {

constexpr std::string_view kSplicedAdvice =
    "the file may be damaged, copied incompletely, or joined from several acquisitions";

}  // namespace

Result<FileDescriptor> OpenMibFile(const std::filesystem::path& path) {
  // O_NONBLOCK: a pipe with this name must not stop us; it has no effect on regular files.
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return Error::FromErrno(errno, "cannot stat").In(path);
  if (!S_ISREG(status.st_mode)) {
    return Error::Unsupported("this is not a regular file").In(path).Expected("a .mib file");
  }
  return fd;
}

Result<MibFile> InspectMibFile(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenMibFile(path));
  MibFile file;
  file.path = path;
  PENSTOCK_ASSIGN_OR_RETURN(file.identity, IdentifyFile(fd.get(), path));
  if (file.identity.size == 0) {
    return Error::Corrupt("the file is empty")
        .In(path)
        .Expected("Merlin frames")
        .Found("0 bytes")
        .Advice("check whether the acquisition was written and the file copied completely");
  }
  // Enough for every header that is known; a series may have a file per frame, and a read costs.
  constexpr uint64_t kUsualHeaderBytes = 4096;
  std::vector<std::byte> head(std::min(file.identity.size, kUsualHeaderBytes));
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), 0, head, path));
  const Result<uint32_t> stated = MibHeaderBytes(head);
  if (stated.ok() && *stated > head.size() && file.identity.size > head.size()) {
    head.resize(std::min<uint64_t>(file.identity.size, kMibMaxHeaderBytes));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), 0, head, path));
  }
  Result<MibFrameHeader> header = ParseMibFrameHeader(head, MibHeaderDetail::kAll);
  if (!header.ok()) return std::move(header).error().In(path).AtOffset(0).AtFrame(0);
  file.first_header = std::move(*header);
  Result<MibGeometry> geometry = MibGeometryOf(file.first_header.layout);
  if (!geometry.ok()) return std::move(geometry).error().In(path).AtOffset(0).AtFrame(0);
  file.geometry = *geometry;
  const uint64_t frames = file.identity.size / file.geometry.record_bytes;
  file.frame_count = static_cast<int64_t>(frames);
  file.trailing_bytes = file.identity.size - frames * file.geometry.record_bytes;
  return file;
}

Result<MibFrameHeader> ReadMibFrameHeader(int fd, const MibFile& file, int64_t frame_in_file,
                                          int64_t frame_number) {
  std::vector<std::byte> bytes(file.geometry.layout.header_bytes);
  const uint64_t offset = file.OffsetOf(frame_in_file);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, offset, bytes, file.path));
  return ParseLaterMibHeader(bytes, file, offset, frame_number);
}

Result<MibFrameHeader> ParseLaterMibHeader(std::span<const std::byte> bytes, const MibFile& file,
                                           uint64_t offset, int64_t frame_number) {
  Result<MibFrameHeader> header = ParseMibFrameHeader(bytes, MibHeaderDetail::kFrame);
  if (!header.ok()) {
    return std::move(header)
        .error()
        .In(file.path)
        .AtOffset(offset)
        .AtFrame(frame_number)
        .Advice(std::string(kSplicedAdvice));
  }
  if (header->layout == file.geometry.layout) return header;
  return Error::Corrupt("the frame header differs from that of the first frame")
      .In(file.path)
      .AtOffset(offset)
      .AtFrame(frame_number)
      .Expected(file.geometry.layout.ToString())
      .Found(header->layout.ToString())
      .Advice(std::string(kSplicedAdvice));
}

}  // namespace penstock::ingest
