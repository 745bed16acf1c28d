// RecordSource: frames at a constant stride in one file, as plain raw and NPY files hold them.
//
// Record i begins at file_header_bytes + i * (frame_header + frame + frame_footer); its frame is
// C order, in either byte order.

#ifndef PENSTOCK_INGEST_FORMATS_RAW_RECORD_SOURCE_H_
#define PENSTOCK_INGEST_FORMATS_RAW_RECORD_SOURCE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

struct RecordLayout {
  uint64_t file_header_bytes = 0;
  uint64_t frame_header_bytes = 0;
  uint64_t frame_bytes = 0;
  uint64_t frame_footer_bytes = 0;
  size_t swap_bytes = 1;  // size of the numbers whose bytes are reversed; 1 for little-endian files

  uint64_t record_bytes() const { return frame_header_bytes + frame_bytes + frame_footer_bytes; }
};

// `description.files` holds one file, the one of `fd`. Thread-safe as FrameSource demands.
// `may_grow`: the number of records follows from the size of the file alone, so that Refresh finds
// those that have come since.
std::unique_ptr<FrameSource> MakeRecordSource(SourceDescription description, RecordLayout layout,
                                              FileDescriptor fd, bool may_grow = false);

// What a file ends with that is no whole record; nothing where there is none.
std::optional<Anomaly> TornRecord(const std::filesystem::path& path, uint64_t file_bytes,
                                  const RecordLayout& layout);

// Opens a regular file for reading. kInvalidArgument for anything else (a directory, a pipe).
struct OpenedFile {
  FileDescriptor fd;
  FileIdentity identity;
};
Result<OpenedFile> OpenRegularFile(const std::filesystem::path& path);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_RAW_RECORD_SOURCE_H_
