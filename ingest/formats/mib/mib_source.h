// A Merlin acquisition as a FrameSource.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_SOURCE_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_SOURCE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "ingest/formats/mib/mib_numbering.h"
#include "ingest/formats/mib/mib_series.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

class MibSource final : public FrameSource {
 public:
  static Result<std::unique_ptr<MibSource>> Open(const std::filesystem::path& path,
                                                 bool this_file_only);

  const SourceDescription& description() const override { return state_.description; }
  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override;
  std::optional<FrameLocation> Locate(int64_t frame) const override;
  bool MayGrow() const override { return true; }
  // Opens the acquisition again: frames and files may have been added, what was there must not have
  // changed its layout or numbering.
  Result<int64_t> Refresh() override;

 private:
  struct State {
    MibSeries series;
    MibNumbering numbering;
    SourceDescription description;
  };

  MibSource(std::filesystem::path path, bool this_file_only, State state);

  static Result<State> Inspect(const std::filesystem::path& path, bool this_file_only);
  Result<std::shared_ptr<const FileDescriptor>> Descriptor(size_t file) const;
  Status DecodeRecords(size_t file, int64_t first, std::span<const std::byte> records,
                       std::span<std::byte> images, DecodeReport& report) const;
  Status CheckHeader(size_t file, int64_t frame, std::span<const std::byte> record,
                     DecodeReport& report) const;

  const std::filesystem::path path_;
  const bool this_file_only_;
  State state_;
  mutable std::mutex mutex_;                                                // guards descriptors_
  mutable std::vector<std::shared_ptr<const FileDescriptor>> descriptors_;  // by file; may be null
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_SOURCE_H_
