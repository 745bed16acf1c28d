// One .mib file: frame records of equal length, back to back, without a file header.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_FILE_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_FILE_H_

#include <cstdint>
#include <filesystem>
#include <span>

#include "ingest/formats/mib/mib_frame_header.h"
#include "ingest/formats/mib/mib_geometry.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::ingest {

struct MibFile {
  std::filesystem::path path;
  FileIdentity identity;
  MibFrameHeader first_header;
  MibGeometry geometry;
  int64_t frame_count = 0;      // complete frames
  uint64_t trailing_bytes = 0;  // of a last frame that is not complete

  uint64_t OffsetOf(int64_t frame_in_file) const {
    return static_cast<uint64_t>(frame_in_file) * geometry.record_bytes;
  }
};

// Opens a regular file for reading; anything else (a pipe, a device) is kUnsupported.
Result<FileDescriptor> OpenMibFile(const std::filesystem::path& path);

// Reads the first header. A file without one complete frame is returned with frame_count 0 when its
// first header is whole, otherwise it is kCorrupt.
Result<MibFile> InspectMibFile(const std::filesystem::path& path);

// The header of one frame. Errors name file, offset and `frame_number`, the number of the frame in
// the acquisition.
Result<MibFrameHeader> ReadMibFrameHeader(int fd, const MibFile& file, int64_t frame_in_file,
                                          int64_t frame_number);

// The header at the start of `bytes`, which lie at `offset` of the file; kCorrupt unless its layout
// is that of the file's first frame.
Result<MibFrameHeader> ParseLaterMibHeader(std::span<const std::byte> bytes, const MibFile& file,
                                           uint64_t offset, int64_t frame_number);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_FILE_H_
