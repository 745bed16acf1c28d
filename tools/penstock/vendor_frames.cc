#include "tools/penstock/vendor_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

namespace penstock::tools {

namespace {

constexpr int32_t kInvalidFrame = 3;  // in image_key
constexpr size_t kMostAnomalies = 1000;

// Four frames, which kernels take together; long enough strips of each that the blocks they are
// made of are read in long runs (K2 IS row by row, 2 workers: 128 KiB 11.6, 512 KiB 13.6 GiB/s of
// pixels).
constexpr int64_t kStripFrames = 4;
constexpr int64_t kStripBytes = int64_t{2} << 20;

// What one worker's decoder says of the frames that it has in hand.
class CursorReport final : public ingest::DecodeReport {
 public:
  void AddAnomaly(Anomaly anomaly) override {
    const std::lock_guard lock(mutex_);
    anomalies_.push_back(std::move(anomaly));
  }
  void MarkInvalid(int64_t source_frame, std::string_view /*reason*/) override {
    const std::lock_guard lock(mutex_);
    invalid_.insert(source_frame);
  }

  void ClearFrames() {
    const std::lock_guard lock(mutex_);
    invalid_.clear();
  }
  bool IsInvalid(int64_t source_frame) {
    const std::lock_guard lock(mutex_);
    return invalid_.contains(source_frame);
  }
  std::vector<Anomaly> TakeAnomalies() {
    const std::lock_guard lock(mutex_);
    return std::exchange(anomalies_, {});
  }

 private:
  std::mutex mutex_;  // a decoder may use threads of its own
  std::set<int64_t> invalid_;
  std::vector<Anomaly> anomalies_;
};

}  // namespace

// What all workers have found.
class VendorFrames::Findings {
 public:
  void Add(std::vector<Anomaly> anomalies) {
    const std::lock_guard lock(mutex_);
    for (Anomaly& anomaly : anomalies) {
      if (found_.size() < kMostAnomalies) found_.push_back(std::move(anomaly));
    }
  }
  std::vector<Anomaly> Sorted() {
    const std::lock_guard lock(mutex_);
    std::ranges::sort(found_, {}, [](const Anomaly& anomaly) {
      return std::tuple(anomaly.frame, anomaly.file, anomaly.byte_offset, anomaly.message);
    });
    return found_;
  }

 private:
  std::mutex mutex_;
  std::vector<Anomaly> found_;
};

class VendorFrames::DecodingCursor final : public FrameProvider::Cursor {
 public:
  explicit DecodingCursor(const VendorFrames& frames) : frames_(frames) {
    context_.report = &report_;
  }

  Status Read(const Request& request, std::span<std::byte> destination,
              std::span<uint8_t> valid) override {
    const uint64_t frame_bytes = frames_.plan_.shape.frame_bytes();
    int64_t position = request.frames.first;
    while (position < request.frames.last) {
      const auto run = frames_.plan_.mapping.RunAt(position, request.frames.last - position);
      const auto index = static_cast<size_t>(position - request.frames.first);
      position += run.count;
      if (run.source < 0) continue;  // image_key says so
      PENSTOCK_RETURN_IF_ERROR(frames_.plan_.source->Decode(
          run.source, run.source + run.count,
          destination.subspan(index * frame_bytes, static_cast<size_t>(run.count) * frame_bytes),
          context_));
      for (int64_t i = 0; i < run.count; ++i) {
        if (report_.IsInvalid(run.source + i)) valid[index + static_cast<size_t>(i)] = 0;
      }
      report_.ClearFrames();
    }
    if (auto anomalies = report_.TakeAnomalies(); !anomalies.empty()) {
      frames_.findings_->Add(std::move(anomalies));
    }
    return Status::Ok();
  }

 private:
  const VendorFrames& frames_;
  CursorReport report_;
  ingest::DecodeContext context_;
};

class VendorFrames::StripCursor final : public FrameProvider::Cursor {
 public:
  explicit StripCursor(const VendorFrames& frames)
      : frames_(frames), decoder_(frames.plan_.source->MakeStripDecoder()) {
    context_.report = &report_;
  }

  Status Read(const Request& request, std::span<std::byte> destination,
              std::span<uint8_t> valid) override {
    if (request.first_pixel == 0) PENSTOCK_RETURN_IF_ERROR(Begin(request.frames, valid));
    if (request.in_pixel_order) {
      return decoder_->StoredPixels(request.first_pixel, request.first_pixel + request.pixel_count,
                                    destination);
    }
    const int64_t columns = frames_.plan_.shape.signal.columns;
    const int64_t first = request.first_pixel / columns;
    return decoder_->Rows(first, first + request.pixel_count / columns, destination);
  }

  Status Take(FrameRange frames, std::span<uint8_t> valid) override {
    first_taken_ = frames.first;
    return Begin(frames, valid);
  }
  void Locate(FrameRange frames, int64_t run, std::span<const std::byte*> packed) const override {
    decoder_->LocatePacked(run, static_cast<size_t>(frames.first - first_taken_), packed);
  }
  Status CheckTaken() const override { return decoder_->CheckPacked(); }

 private:
  Status Begin(FrameRange frames, std::span<uint8_t> valid) {
    source_frames_.clear();
    for (int64_t position = frames.first; position < frames.last; ++position) {
      source_frames_.push_back(frames_.plan_.mapping.SourceFrame(position));
    }
    PENSTOCK_RETURN_IF_ERROR(decoder_->Begin(source_frames_, context_));
    for (size_t i = 0; i < source_frames_.size(); ++i) {
      if (source_frames_[i] >= 0 && report_.IsInvalid(source_frames_[i])) valid[i] = 0;
    }
    report_.ClearFrames();
    if (auto anomalies = report_.TakeAnomalies(); !anomalies.empty()) {
      frames_.findings_->Add(std::move(anomalies));
    }
    return Status::Ok();
  }

  const VendorFrames& frames_;
  const std::unique_ptr<ingest::StripDecoder> decoder_;
  CursorReport report_;
  ingest::DecodeContext context_;
  std::vector<int64_t> source_frames_;
  int64_t first_taken_ = 0;
};

Result<std::unique_ptr<VendorFrames>> VendorFrames::Open(const std::filesystem::path& path,
                                                         ingest::IngestOptions options,
                                                         bool use_pixel_mask) {
  // A name that lies in no folder of a source; nothing is made there.
  options.to = "/dev/null/no-ingest";
  PENSTOCK_ASSIGN_OR_RETURN(ingest::IngestPlan plan, ingest::PlanIngest(path, options));
  return std::unique_ptr<VendorFrames>(new VendorFrames(std::move(plan), use_pixel_mask));
}

VendorFrames::VendorFrames(ingest::IngestPlan plan, bool use_pixel_mask)
    : plan_(std::move(plan)), findings_(std::make_shared<Findings>()) {
  in_strips_ = plan_.source->MakeStripDecoder() != nullptr;
  const int64_t frames = plan_.shape.frame_count();
  image_key_.resize(static_cast<size_t>(frames));
  for (int64_t position = 0; position < frames;) {
    const auto run = plan_.mapping.RunAt(position, frames - position);
    std::fill_n(image_key_.begin() + position, run.count, run.source < 0 ? kInvalidFrame : 0);
    position += run.count;
  }
  const std::vector<uint32_t>& mask = description().pixel_mask.values;
  const auto is_good = [](uint32_t bits) { return bits == 0; };
  if (!use_pixel_mask || std::ranges::all_of(mask, is_good)) return;
  auto good = std::make_shared<std::vector<uint8_t>>(mask.size());
  std::ranges::transform(mask, good->begin(), is_good);
  good_pixels_ = std::move(good);
}

std::vector<FrameRange> VendorFrames::blocks() const {
  std::vector<FrameRange> blocks;
  for (int64_t block = 0; block < plan_.grid.block_count(); ++block) {
    const BlockRegion region = RegionOfBlock(plan_.shape, plan_.grid, block);
    blocks.push_back(
        {.first = region.first_frame, .last = region.first_frame + region.frame_count()});
  }
  return blocks;
}

int64_t VendorFrames::tile_frames() const { return in_strips_ ? kStripFrames : 0; }

int64_t VendorFrames::tile_pixels() const {
  const auto element_bytes = static_cast<int64_t>(ElementSize(plan_.shape.element_type));
  return in_strips_ ? kStripBytes / kStripFrames / element_bytes : 0;
}

std::shared_ptr<const std::vector<uint32_t>> VendorFrames::pixel_order() const {
  if (!in_strips_) return nullptr;
  return plan_.source->MakeStripDecoder()->stored_order();
}

int64_t VendorFrames::packed_run() const {
  return in_strips_ ? plan_.source->MakeStripDecoder()->packed_run() : 0;
}

std::unique_ptr<FrameProvider::Cursor> VendorFrames::MakeCursor() const {
  if (in_strips_) return std::make_unique<StripCursor>(*this);
  return std::make_unique<DecodingCursor>(*this);
}

std::vector<Anomaly> VendorFrames::Anomalies() const {
  std::vector<Anomaly> anomalies = plan_.anomalies;
  for (Anomaly& anomaly : findings_->Sorted()) {
    if (anomaly.file.empty()) anomaly.file = name();
    anomalies.push_back(std::move(anomaly));
  }
  return anomalies;
}

Status VendorFrames::CheckUnchanged() const {
  for (const ingest::SourceFile& file : description().files) {
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity now, IdentifyFile(file.path));
    if (now == file.identity) continue;
    return Error::Corrupt("the source changed while it was read")
        .In(file.path.string())
        .Expected(
            fmt::format("{} bytes, modified at {} ns", file.identity.size, file.identity.mtime_ns))
        .Found(fmt::format("{} bytes, modified at {} ns", now.size, now.mtime_ns))
        .Advice("run again once the acquisition or the copy is complete");
  }
  return Status::Ok();
}

}  // namespace penstock::tools
