// VendorFrames: an acquisition in a vendor's format as frames for a pass, decoded on the way and
// written nowhere. Scan, lost frames and what decoding finds are as the ingest has them.

#ifndef PENSTOCK_TOOLS_VENDOR_FRAMES_H_
#define PENSTOCK_TOOLS_VENDOR_FRAMES_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"
#include "penstock/reader/frame_provider.h"

namespace penstock::tools {

class VendorFrames final : public FrameProvider {
 public:
  // Errors of PlanIngest, which decides about the scan; `options.to` is of no account.
  // `use_pixel_mask` as ReadOptions has it.
  static Result<std::unique_ptr<VendorFrames>> Open(const std::filesystem::path& path,
                                                    ingest::IngestOptions options,
                                                    bool use_pixel_mask);

  const DatasetShape& shape() const override { return plan_.shape; }
  const std::vector<int32_t>& image_key() const override { return image_key_; }
  std::shared_ptr<const std::vector<uint8_t>> good_pixels() const override { return good_pixels_; }
  // Those of the blocks that the ingest would make, so that results are the same to the last bit.
  std::vector<FrameRange> blocks() const override;
  std::string name() const override { return plan_.source_path.string(); }
  int64_t pixel_unit() const override { return in_strips_ ? plan_.shape.signal.columns : 0; }
  int64_t tile_frames() const override;
  int64_t tile_pixels() const override;
  std::shared_ptr<const std::vector<uint32_t>> pixel_order() const override;
  int64_t packed_run() const override;
  std::unique_ptr<Cursor> MakeCursor() const override;

  const ingest::SourceDescription& description() const { return plan_.source->description(); }
  // Of the plan: what a user should know and that is nothing wrong.
  const std::vector<std::string>& remarks() const { return plan_.remarks; }
  // Of the source, the plan and what was decoded so far; of the latter at most 1000.
  // Not while a pass runs.
  std::vector<Anomaly> Anomalies() const;
  // kCorrupt where a file has changed since it was opened.
  Status CheckUnchanged() const;

 private:
  class DecodingCursor;
  class StripCursor;
  class Findings;

  VendorFrames(ingest::IngestPlan plan, bool use_pixel_mask);

  const ingest::IngestPlan plan_;
  bool in_strips_ = false;  // large frames, which are decoded some rows at a time
  std::vector<int32_t> image_key_;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels_;
  std::shared_ptr<Findings> findings_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_VENDOR_FRAMES_H_
