// RecordSeries: frames as records of one size, one behind the other in one file or in several that
// follow each other. A format says how a record becomes a frame; reading is here.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_RECORD_SERIES_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_RECORD_SERIES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::records {

struct RecordFile {
  size_t file = 0;            // index into SourceDescription::files
  uint64_t first_record = 0;  // offset in bytes
  int64_t frame_count = 0;
};

// Records that were read at once.
struct RecordRun {
  int64_t first_frame = 0;
  int64_t frame_count = 0;
  size_t file = 0;      // index into SourceDescription::files
  uint64_t offset = 0;  // of the first record
  std::span<const std::byte> bytes;
};

class RecordSeries : public FrameSource {
 public:
  const SourceDescription& description() const override { return description_; }
  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const final;
  std::optional<FrameLocation> Locate(int64_t frame) const final;

 protected:
  // The files together hold description.frame_count frames.
  RecordSeries(SourceDescription description, std::vector<RecordFile> files, uint64_t record_bytes);

  // `frames` has the place of run.frame_count frames. Thread-safe.
  virtual Status DecodeRun(const RecordRun& run, std::span<std::byte> frames,
                           DecodeReport& report) const = 0;

  uint64_t record_bytes() const { return record_bytes_; }
  uint64_t frame_bytes() const { return frame_bytes_; }
  const std::filesystem::path& PathOf(const RecordRun& run) const {
    return description_.files[run.file].path;
  }

 private:
  size_t FileOfFrame(int64_t frame) const;  // index into files_
  uint64_t OffsetOf(size_t index, int64_t frame) const;
  Result<std::shared_ptr<const FileDescriptor>> Descriptor(size_t index) const;
  Result<std::span<const std::byte>> ReadRange(const SourceRange& range,
                                               DecodeContext& context) const;

  const SourceDescription description_;
  const std::vector<RecordFile> files_;
  const uint64_t record_bytes_;
  uint64_t frame_bytes_ = 0;
  std::vector<int64_t> first_frames_;  // of each file; one more: frame_count
  mutable std::mutex mutex_;           // guards descriptors_
  mutable std::vector<std::shared_ptr<const FileDescriptor>> descriptors_;
};

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_RECORD_SERIES_H_
