#include "tools/penstock/compare_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <complex>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "penstock/catalog/sidecar_view.h"
#include "penstock/dataset/block_frames.h"
#include "penstock/ingest/ingest.h"

namespace penstock::tools {

namespace {

constexpr uint64_t kTileBytes = uint64_t{4} << 20;

// What decoding finds was reported and recorded when the dataset was made.
class IgnoreReport final : public ingest::DecodeReport {
 public:
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
};

Result<ingest::ScanMapping> MappingOf(const Dataset& dataset) {
  const catalog::SidecarView sidecar = catalog::ViewSidecar(dataset.nexus());
  const ScanShape& scan = dataset.shape().scan;
  for (auto step = sidecar.history.rbegin(); step != sidecar.history.rend(); ++step) {
    if (!step->parameters.is_object() || !step->parameters.contains("mapping")) continue;
    try {
      const Json& json = step->parameters.at("mapping");
      ingest::ScanMapping mapping{.scan = scan,
                                  .source_frames = json.at("source_frames"),
                                  .first_source_frame = json.at("first_source_frame"),
                                  .extra_frames_per_row = json.at("extra_frames_per_row"),
                                  .gaps = {}};
      constexpr int64_t kLimit = int64_t{1} << 40;  // so that no sum can overflow
      if (mapping.source_frames < 0 || mapping.source_frames > kLimit ||
          std::abs(mapping.first_source_frame) > kLimit || mapping.extra_frames_per_row < 0 ||
          mapping.extra_frames_per_row > kLimit / std::max<int64_t>(1, scan.rows)) {
        break;
      }
      std::vector<ingest::MissingFrames> missing;
      for (const Json& gap : json.value("gaps", Json::array())) {
        missing.push_back({.before_frame = gap.at(0), .count = gap.at(1), .evidence = {}});
      }
      PENSTOCK_ASSIGN_OR_RETURN(mapping.gaps, ingest::NumberGaps(missing, mapping.source_frames));
      return mapping;
    } catch (const Json::exception&) {
      break;
    }
  }
  return Error::Unsupported("the history does not say which source frame went where")
      .In((dataset.directory() / "nexus.json").string())
      .Expected("penstock/history/entry1/parameters with a mapping");
}

Status CheckSource(const Dataset& dataset, const ingest::SourceDescription& source,
                   const ingest::ScanMapping& mapping) {
  const DatasetShape& shape = dataset.shape();
  const auto text = [](SignalShape signal, ElementType type, int64_t frames) {
    return fmt::format("{} frames of {} x {} {}", frames, signal.rows, signal.columns,
                       ZarrDataType(type));
  };
  if (source.signal == shape.signal && source.element_type == shape.element_type &&
      source.frame_count == mapping.source_frames) {
    return {};
  }
  return Error::Contradiction("this is not the source that the dataset was made from")
      .In(source.files.empty() ? std::string() : source.files.front().path.string())
      .Expected(text(shape.signal, shape.element_type, mapping.source_frames))
      .Found(text(source.signal, source.element_type, source.frame_count));
}

std::string PixelText(ElementType type, const std::byte* pixel) {
  return VisitElementType(type, [&](auto zero) {
    auto value = zero;
    std::memcpy(&value, pixel, sizeof value);
    if constexpr (std::is_same_v<decltype(value), std::complex<float>> ||
                  std::is_same_v<decltype(value), std::complex<double>>) {
      return fmt::format("{}{:+}i", value.real(), value.imag());
    } else {
      return fmt::format("{}", value);
    }
  });
}

// The work of all threads: tiles of consecutive positions of one block.
class Comparison {
 public:
  Comparison(const Dataset& dataset, const ingest::FrameSource& source,
             const ingest::ScanMapping& mapping, std::vector<int32_t> image_key,
             ProgressSink& progress, const std::stop_token& stop)
      : dataset_(dataset),
        source_(source),
        mapping_(mapping),
        image_key_(std::move(image_key)),
        progress_(progress),
        stop_(stop),
        frame_bytes_(dataset.shape().frame_bytes()),
        tile_frames_(std::max<int64_t>(1, static_cast<int64_t>(kTileBytes / frame_bytes_))) {}

  Status Run(int threads) {
    const auto count = static_cast<size_t>(std::max(1, threads));
    std::vector<Status> outcomes(count);
    {
      std::vector<std::jthread> workers;
      for (size_t i = 0; i < count; ++i) {
        workers.emplace_back([this, &outcome = outcomes[i]] { outcome = Work(); });
      }
    }
    for (Status& outcome : outcomes) PENSTOCK_RETURN_IF_ERROR(std::move(outcome));
    return {};
  }

  SourceComparison result() const { return result_; }

 private:
  Status Work() {
    IgnoreReport report;
    ingest::DecodeContext context;
    context.report = &report;
    std::vector<std::byte> decoded(static_cast<size_t>(tile_frames_) * frame_bytes_);
    std::vector<std::byte> stored(decoded.size());
    while (true) {
      const int64_t block = next_block_.fetch_add(1);
      if (block >= static_cast<int64_t>(dataset_.blocks().size())) return {};
      Status compared = CompareBlock(block, decoded, stored, context);
      if (!compared.ok()) {
        next_block_ = static_cast<int64_t>(dataset_.blocks().size());  // the others may end
        return compared;
      }
    }
  }

  Status CompareBlock(int64_t block, std::span<std::byte> decoded, std::span<std::byte> stored,
                      ingest::DecodeContext& context) {
    const BlockInfo& info = dataset_.blocks()[static_cast<size_t>(block)];
    if (info.checksum.empty()) return {};  // not there yet
    const std::filesystem::path path = dataset_.directory() / info.relative_path;
    PENSTOCK_ASSIGN_OR_RETURN(BlockFrames frames,
                              BlockFrames::Open(path, {.shape = dataset_.shape(),
                                                       .grid = dataset_.grid(),
                                                       .compression = dataset_.compression(),
                                                       .block = block,
                                                       .file_bytes = info.bytes}));
    const int64_t end = info.region.first_frame + info.region.frame_count();
    for (int64_t position = info.region.first_frame; position < end;) {
      if (stop_.stop_requested()) return Error::Cancelled("stopped while comparing").In(path);
      if (position >= first_difference_.load()) return {};
      const ingest::ScanMapping::Run run =
          mapping_.RunAt(position, std::min(end - position, tile_frames_));
      const auto bytes = static_cast<size_t>(run.count) * frame_bytes_;
      if (run.source < 0) {
        PENSTOCK_RETURN_IF_ERROR(CheckMissing(position, run.count));
      } else {
        PENSTOCK_RETURN_IF_ERROR(
            source_.Decode(run.source, run.source + run.count, decoded.first(bytes), context));
        PENSTOCK_RETURN_IF_ERROR(frames.Read(position, run.count, stored.first(bytes)));
        CompareTile(info, position, run, decoded.data(), stored.data());
      }
      progress_.Advance(bytes);
      position += run.count;
    }
    return {};
  }

  Status CheckMissing(int64_t position, int64_t count) {
    for (int64_t i = position; i < position + count; ++i) {
      if (image_key_[static_cast<size_t>(i)] != 0) continue;
      return Error::Contradiction("the dataset calls a frame valid that its source does not have")
          .In(dataset_.directory())
          .AtFrame(i);
    }
    const std::lock_guard guard(mutex_);
    result_.frames_without_source += count;
    return {};
  }

  void CompareTile(const BlockInfo& block, int64_t position, const ingest::ScanMapping::Run& run,
                   const std::byte* decoded, const std::byte* stored) {
    int64_t compared = 0;
    int64_t invalid = 0;
    for (int64_t i = 0; i < run.count; ++i) {
      if (image_key_[static_cast<size_t>(position + i)] != 0) {
        ++invalid;
        continue;
      }
      const size_t start = static_cast<size_t>(i) * frame_bytes_;
      ++compared;
      if (std::memcmp(decoded + start, stored + start, frame_bytes_) == 0) continue;
      NoteDifference(block, position + i, run.source + i, decoded + start, stored + start);
      break;
    }
    const std::lock_guard guard(mutex_);
    result_.frames_compared += compared;
    result_.frames_invalid += invalid;
  }

  void NoteDifference(const BlockInfo& block, int64_t frame, int64_t source_frame,
                      const std::byte* decoded, const std::byte* stored) {
    const std::lock_guard guard(mutex_);
    if (frame >= first_difference_.load()) return;
    first_difference_ = frame;
    const DatasetShape& shape = dataset_.shape();
    const size_t element = ElementSize(shape.element_type);
    size_t pixel = 0;
    while (std::memcmp(decoded + pixel * element, stored + pixel * element, element) == 0) ++pixel;
    result_.first_difference =
        FrameDifference{.frame = frame,
                        .source_frame = source_frame,
                        .block = block.relative_path,
                        .row = static_cast<int64_t>(pixel) / shape.signal.columns,
                        .column = static_cast<int64_t>(pixel) % shape.signal.columns,
                        .expected = PixelText(shape.element_type, decoded + pixel * element),
                        .found = PixelText(shape.element_type, stored + pixel * element)};
  }

  const Dataset& dataset_;
  const ingest::FrameSource& source_;
  const ingest::ScanMapping& mapping_;
  const std::vector<int32_t> image_key_;
  ProgressSink& progress_;
  const std::stop_token& stop_;
  const size_t frame_bytes_;
  const int64_t tile_frames_;
  std::atomic<int64_t> next_block_{0};
  // The lowest frame that differs so far: nothing above it need be read any more.
  std::atomic<int64_t> first_difference_{INT64_MAX};
  std::mutex mutex_;
  SourceComparison result_;
};

}  // namespace

Result<SourceComparison> CompareWithSource(const Dataset& dataset,
                                           const ingest::FrameSource& source, int threads,
                                           ProgressSink& progress, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const ingest::ScanMapping mapping, MappingOf(dataset));
  PENSTOCK_RETURN_IF_ERROR(CheckSource(dataset, source.description(), mapping));
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<int32_t> image_key, dataset.ReadImageKey());
  progress.Begin("compare " + dataset.directory().filename().string() + " with its source",
                 dataset.shape().payload_bytes());
  Comparison comparison(dataset, source, mapping, std::move(image_key), progress, stop);
  const Status compared = comparison.Run(threads);
  progress.End();
  PENSTOCK_RETURN_IF_ERROR(compared);
  return comparison.result();
}

}  // namespace penstock::tools
