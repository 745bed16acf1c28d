#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "ingest/pipeline/anomaly_list.h"
#include "ingest/pipeline/lost_frames.h"
#include "ingest/pipeline/memory_plan.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset.h"
#include "penstock/ingest/ingest.h"
#include "penstock/ingest/registry.h"

namespace penstock::ingest {

namespace {

// Far above any scan; keeps every sum and product of frame numbers within 64 bits.
constexpr int64_t kMostFrames = int64_t{1} << 40;

// What the registry's formats suggest is a file name, but a name with a slash would lead elsewhere.
Result<std::string> DatasetName(const std::string& suggested) {
  if (suggested.empty() || suggested == "." || suggested == ".." ||
      suggested.find('/') != std::string::npos) {
    return Error::InvalidArgument("the source suggests no usable name for the dataset")
        .Found("'" + suggested + "'")
        .Advice("give the dataset's directory with --to, not only the store");
  }
  return suggested;
}

Result<std::filesystem::path> ResolveDestination(const std::filesystem::path& to,
                                                 const std::string& suggested_name) {
  if (to.empty()) return Error::InvalidArgument("no destination").Advice("give --to");
  std::error_code problem;
  std::filesystem::path path = std::filesystem::absolute(to, problem).lexically_normal();
  const bool names_store = !path.has_filename();
  if (names_store) path = path.parent_path();
  const bool is_dataset = LooksLikeDataset(path);
  if (names_store && is_dataset) {
    return Error::InvalidArgument("a dataset cannot lie inside another one")
        .In(to.string())
        .Advice("leave the '/' at the end out to replace that dataset");
  }
  if (names_store || (!is_dataset && std::filesystem::is_directory(path, problem))) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::string name, DatasetName(suggested_name));
    path /= name;
  }
  return path;
}

// User first, then what the source states in its own order.
std::vector<ShapeCandidate> CandidateShapes(const IngestOptions& options,
                                            const SourceDescription& source) {
  std::vector<ShapeCandidate> candidates;
  if (options.scan_shape) {
    candidates.push_back({*options.scan_shape,
                          fmt::format("user: --scan-shape {}", ShapeText(*options.scan_shape)),
                          false, false});
  }
  for (const ScanShapeEvidence& evidence : source.scan_shapes) {
    candidates.push_back({evidence.shape, evidence.evidence, false, false});
  }
  return candidates;
}

// The acquisition's number of the frame that the format itself gives to scan position 0. Without
// such a rule the scan begins with the acquisition, even where its first frames are lost.
int64_t FirstNumber(const SourceDescription& source, const ScanMapping& mapping) {
  int64_t number = source.first_frame;
  if (source.first_frame_evidence.empty()) return number;
  for (const FrameGap& gap : mapping.gaps) {
    if (gap.before_frame <= source.first_frame) number += gap.count;
  }
  return number;
}

Result<ScanMapping> MapScan(const IngestOptions& options, const SourceDescription& source,
                            const std::string& file, std::vector<ShapeCandidate>& candidates) {
  ScanMapping mapping;
  mapping.source_frames = source.frame_count;
  const bool is_series = candidates.empty() || candidates.front().shape.is_series;
  // The frames of a series have no place that they would leave.
  const bool close_gaps = is_series && options.missing == MissingPolicy::kSkip;
  if (!close_gaps) {
    auto gaps = NumberGaps(source.missing_frames, source.frame_count);
    if (!gaps.ok()) return std::move(gaps).error().In(file).Advice(std::string(kGapAdvice));
    mapping.gaps = *std::move(gaps);
  }
  if (options.sync_offset > kMostFrames || options.sync_offset < -kMostFrames) {
    return Error::InvalidArgument("a synchronisation offset beyond 2^40 frames").In(file);
  }
  const int64_t first = FirstNumber(source, mapping);
  mapping.first_source_frame = first + options.sync_offset;
  if (mapping.first_source_frame >= mapping.NumberCount()) {
    return Error::InvalidArgument("the synchronisation offset skips every frame")
        .In(file)
        .Expected(fmt::format("an offset below {}", mapping.NumberCount() - first))
        .Found(fmt::format("{}", options.sync_offset));
  }
  if (candidates.empty()) {
    const int64_t frames = mapping.NumberCount() - mapping.first_source_frame;
    candidates.push_back({{1, frames, true}, "no evidence of a scan: a series", false, false});
  }
  ShapeCandidate& chosen = candidates.front();
  chosen.chosen = true;
  mapping.scan = chosen.shape;
  for (ShapeCandidate& candidate : candidates) candidate.agrees = candidate.shape == chosen.shape;
  if (mapping.scan.rows < 1 || mapping.scan.columns < 1 ||
      mapping.scan.rows > kMostFrames / mapping.scan.columns) {
    return Error::InvalidArgument("not a scan shape")
        .In(file)
        .Expected("two axes of at least 1, at most 2^40 frames")
        .Found(ShapeText(mapping.scan));
  }
  if (!options.scan_shape && !source.scan_shapes.empty()) {
    mapping.extra_frames_per_row = source.scan_shapes.front().extra_frames_per_row;
  } else if (options.drop_flyback) {
    const int64_t available = mapping.NumberCount() - mapping.first_source_frame;
    mapping.extra_frames_per_row = available / mapping.scan.rows - mapping.scan.columns;
    mapping.extra_frames_per_row = std::max<int64_t>(0, mapping.extra_frames_per_row);
  }
  if (mapping.extra_frames_per_row < 0 ||
      mapping.extra_frames_per_row > kMostFrames / mapping.scan.rows) {
    return Error::Corrupt("not a number of frames between scan rows")
        .In(file)
        .Found(fmt::format("{} ({})", mapping.extra_frames_per_row, chosen.evidence));
  }
  return mapping;
}

// Shortens or refuses the scan where the source has too few frames. Gaps have been looked at.
Status ApplyMissingPolicy(const IngestOptions& options, const std::string& file,
                          const ShapeCandidate& chosen, IngestPlan& plan) {
  ScanMapping& mapping = plan.mapping;
  int64_t missing = mapping.MissingAtEnd();
  if (missing == 0) return Status::Ok();
  const int64_t have = mapping.scan.frame_count() - missing;
  if (have <= mapping.MissingInFront()) {
    return Error::Contradiction("no scan position has a frame")
        .In(file)
        .Expected(fmt::format("frames for scan {} ({})", ShapeText(mapping.scan), chosen.evidence))
        .Found(fmt::format("{} frames in the file, none of them inside the scan",
                           mapping.source_frames))
        .Advice("look at --sync-offset and --scan-shape");
  }
  if (options.missing == MissingPolicy::kRefuse) {
    return Error::Contradiction("the source holds fewer frames than the scan has positions")
        .In(file)
        .Expected(fmt::format("{} positions for scan {} ({})", mapping.scan.frame_count(),
                              ShapeText(mapping.scan), chosen.evidence))
        .Found(fmt::format("{} frames in the file, which reach {} positions", mapping.source_frames,
                           have))
        .Advice(
            "give --missing=zero to keep the shape and mark the rest as missing (--missing=nan to "
            "fill it with NaN, where pixels are floating), --missing=skip to leave out the rows "
            "that were not recorded, or --scan-shape");
  }
  const ScanShape wanted = mapping.scan;
  if (options.missing == MissingPolicy::kSkip) {
    if (wanted.is_series) {
      mapping.scan.columns = have;
    } else {
      mapping.scan.rows = (have + wanted.columns - 1) / wanted.columns;
    }
    missing = mapping.MissingAtEnd();
  }
  Anomaly anomaly;
  anomaly.kind = AnomalyKind::kMissingFrame;
  anomaly.file = file;
  anomaly.frame = mapping.source_frames;
  anomaly.message = fmt::format(
      "the {} frames of the source do not reach the end of scan {}: {} rows left out, the last {} "
      "positions are marked as missing",
      mapping.source_frames, ShapeText(wanted), wanted.rows - mapping.scan.rows, missing);
  plan.anomalies.push_back(std::move(anomaly));
  return Status::Ok();
}

Status RefuseNanInIntegers(const IngestOptions& options, ElementType type,
                           const std::string& file) {
  if (options.missing != MissingPolicy::kNan || !IsInteger(type)) return Status::Ok();
  return Error::InvalidArgument("integers cannot be NaN: missing frames have no such value")
      .In(file)
      .Expected("pixels of float32, float64, complex64 or complex128 for --missing=nan")
      .Found(std::string(ZarrDataType(type)))
      .Advice(
          "--missing=zero leaves missing frames empty and marks them in image_key, by which every "
          "reader of penstock leaves them out; --missing=skip leaves out rows without frames");
}

void NoteUnusedFrames(const std::string& file, IngestPlan& plan) {
  const ScanMapping& mapping = plan.mapping;
  if (mapping.UnusedInFront() > 0) {
    const std::string& reason = plan.source->description().first_frame_evidence;
    plan.remarks.push_back(fmt::format("the first {} frames of the source are left out{}{}",
                                       mapping.UnusedInFront(), reason.empty() ? "" : ": ",
                                       reason));
  }
  if (mapping.MissingInFront() > 0) {
    plan.remarks.push_back(
        fmt::format("the first {} scan positions are marked as missing", mapping.MissingInFront()));
  }
  if (mapping.extra_frames_per_row > 0) {
    plan.remarks.push_back(fmt::format("{} fly-back frames after each scan row are left out",
                                       mapping.extra_frames_per_row));
  }
  if (mapping.UnusedAtEnd() > 0) {
    Anomaly anomaly;
    anomaly.kind = AnomalyKind::kExtraFrames;
    anomaly.file = file;
    anomaly.frame = mapping.source_frames - mapping.UnusedAtEnd();
    anomaly.message = fmt::format("{} frames behind the last position of scan {} are left out",
                                  mapping.UnusedAtEnd(), ShapeText(mapping.scan));
    plan.anomalies.push_back(std::move(anomaly));
  }
}

Status RefuseContradictions(const IngestOptions& options, const SourceDescription& source) {
  if (options.scan_shape || options.accept_contradictions) return Status::Ok();
  for (const Anomaly& anomaly : source.anomalies) {
    if (anomaly.kind != AnomalyKind::kHeaderContradiction) continue;
    std::string place;
    if (anomaly.byte_offset) place = fmt::format("offset {}", *anomaly.byte_offset);
    if (anomaly.frame)
      place += fmt::format("{}frame {}", place.empty() ? "" : ", ", *anomaly.frame);
    return Error::Contradiction(anomaly.message)
        .In(anomaly.file)
        .At(place)
        .Advice(
            "look which statement is right: --accept-contradictions or an explicit --scan-shape "
            "goes on, and records the contradiction in the dataset");
  }
  return Status::Ok();
}

void SuggestSquare(IngestPlan& plan) {
  const int64_t frames = plan.shape.scan.frame_count();
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(frames))));
  if (!plan.shape.scan.is_series || side < 2 || side * side != frames) return;
  // What is left of a scan after its gaps were closed is none.
  const bool gaps_closed =
      plan.mapping.gaps.empty() && !plan.source->description().missing_frames.empty();
  if (gaps_closed) return;
  plan.remarks.push_back(
      fmt::format("{} frames would make a square scan: --scan-shape {},{}", frames, side, side));
}

// Replacing a dataset deletes the old one, which must not hold what the new one is made of.
Status RefuseSourceInside(const std::filesystem::path& destination,
                          const SourceDescription& source) {
  std::error_code problem;
  const std::filesystem::path directory = std::filesystem::weakly_canonical(destination, problem);
  for (const SourceFile& file : source.files) {
    const std::filesystem::path path = std::filesystem::weakly_canonical(file.path, problem);
    const auto [end, rest] =
        std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
    if (end != directory.end()) continue;
    return Error::InvalidArgument("the source lies inside the destination")
        .In(file.path.string())
        .Found("destination " + destination.string())
        .Advice("choose another destination");
  }
  return Status::Ok();
}

// Only a remark: file systems that compress hold more than their free bytes.
void CheckSpace(IngestPlan& plan) {
  std::filesystem::path existing = plan.destination;
  std::error_code problem;
  while (!std::filesystem::exists(existing, problem) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  if (!std::filesystem::is_directory(existing, problem)) return;  // nothing is to be written
  const std::filesystem::space_info space = std::filesystem::space(existing, problem);
  if (problem) return;
  plan.free_bytes = space.available;
  if (space.available < plan.destination_bytes) {
    plan.remarks.push_back(
        fmt::format("the dataset needs {} bytes and the destination has {} free: it may not fit",
                    plan.destination_bytes, space.available));
  }
}

uint64_t DatasetBytes(const DatasetShape& shape, const BlockGrid& grid) {
  uint64_t bytes = 0;
  for (int64_t block = 0; block < grid.block_count(); ++block) {
    bytes += BlockLayout::Of(shape, grid, block).file_bytes;
  }
  return bytes;
}

class DiscardedReport final : public DecodeReport {
 public:
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
};

}  // namespace

Result<IngestPlan> PlanIngest(const std::filesystem::path& source_path,
                              const IngestOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(std::shared_ptr<FrameSource> source,
                            OpenSource(source_path, options.format, options.open));
  return PlanIngest(std::move(source), source_path, options);
}

Result<IngestPlan> PlanIngest(std::shared_ptr<FrameSource> source,
                              const std::filesystem::path& source_path,
                              const IngestOptions& options) {
  IngestPlan plan;
  plan.options = options;
  plan.source_path = source_path;
  plan.source = std::move(source);
  const SourceDescription& description = plan.source->description();
  const std::string file = source_path.string();
  PENSTOCK_ASSIGN_OR_RETURN(
      plan.destination,
      ResolveDestination(options.to,
                         options.name.empty() ? description.suggested_name : options.name));
  PENSTOCK_RETURN_IF_ERROR(RefuseSourceInside(plan.destination, description));
  if (description.frame_count < 1) {
    return Error::Corrupt("the source holds no complete frame").In(file);
  }
  PENSTOCK_RETURN_IF_ERROR(RefuseContradictions(options, description));
  PENSTOCK_RETURN_IF_ERROR(RefuseNanInIntegers(options, description.element_type, file));

  plan.anomalies = description.anomalies;
  plan.shape_candidates = CandidateShapes(options, description);
  PENSTOCK_ASSIGN_OR_RETURN(plan.mapping,
                            MapScan(options, description, file, plan.shape_candidates));
  PENSTOCK_RETURN_IF_ERROR(CheckLostFrames(plan));
  PENSTOCK_RETURN_IF_ERROR(ApplyMissingPolicy(options, file, plan.shape_candidates.front(), plan));
  NoteLostFrames(plan);
  NoteUnusedFrames(file, plan);

  plan.shape = {plan.mapping.scan, description.signal, description.element_type};
  PENSTOCK_RETURN_IF_ERROR(plan.shape.Validate());
  PENSTOCK_ASSIGN_OR_RETURN(plan.grid, ChooseBlockGrid(plan.shape, options.block_bytes));
  const int wanted = options.workers > 0
                         ? options.workers
                         : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const Compression compression = options.compression == CompressionChoice::kNone
                                      ? Compression::kNone
                                      : Compression::kLz4;  // Zstandard takes the same memory
  auto memory = PlanMemory(plan.shape, GridFor(plan.shape, plan.grid, compression),
                           description.chunks.value_or(ChunkHint{}), compression, wanted,
                           options.memory_bytes);
  if (!memory.ok()) return std::move(memory).error().In(file);
  plan.workers = memory->workers;
  plan.tile_frames = memory->tile_frames;
  plan.memory_bytes = memory->memory_bytes;
  plan.destination_bytes = DatasetBytes(plan.shape, plan.grid);
  CheckSpace(plan);
  SuggestSquare(plan);
  if (description.growing) {
    plan.remarks.emplace_back(
        "the acquisition is still being written: only what is there now is taken");
  }
  return plan;
}

Result<RateMeasurement> MeasureRate(const IngestPlan& plan) {
  constexpr double kLongEnough = 0.25;  // seconds
  const SourceDescription& description = plan.source->description();
  const uint64_t frame_bytes = plan.shape.frame_bytes();
  PENSTOCK_ASSIGN_OR_RETURN(
      AlignedBuffer buffer,
      AlignedBuffer::Allocate(static_cast<uint64_t>(plan.tile_frames) * frame_bytes));
  DiscardedReport report;
  DecodeContext context;
  context.report = &report;
  RateMeasurement measured;
  const auto began = std::chrono::steady_clock::now();
  while (measured.seconds < kLongEnough && measured.frames < description.frame_count) {
    const int64_t count = std::min(plan.tile_frames, description.frame_count - measured.frames);
    const uint64_t bytes = static_cast<uint64_t>(count) * frame_bytes;
    PENSTOCK_RETURN_IF_ERROR(plan.source->Decode(measured.frames, measured.frames + count,
                                                 buffer.span().first(bytes), context));
    measured.frames += count;
    measured.bytes += bytes;
    measured.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  if (measured.bytes > 0) {
    measured.estimated_seconds = measured.seconds / static_cast<double>(measured.bytes) *
                                 static_cast<double>(plan.shape.payload_bytes()) / plan.workers;
  }
  return measured;
}

}  // namespace penstock::ingest
