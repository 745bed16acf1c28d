#include "ingest/pipeline/block_ingest.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "penstock/dataset/block_frames.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/checksum.h"

namespace penstock::ingest {

namespace {

Error Stopped() { return Error::Cancelled("stopped"); }

// Precondition: pixels that can be NaN; of complex ones both parts become it.
void FillWithNan(ElementType type, std::span<std::byte> pixels) {
  const auto fill = [pixels](auto nan) {
    for (size_t at = 0; at < pixels.size(); at += sizeof(nan)) {
      std::memcpy(pixels.data() + at, &nan, sizeof(nan));
    }
  };
  if (type == ElementType::kFloat32 || type == ElementType::kComplex64) {
    fill(std::numeric_limits<float>::quiet_NaN());
  } else {
    fill(std::numeric_limits<double>::quiet_NaN());
  }
}

}  // namespace

Json BlockToJson(const BlockOutcome& outcome, const std::vector<LeafDigest>& leaves) {
  Json line;
  line["block"] = outcome.record.block;
  line["bytes"] = outcome.record.bytes;
  line["checksum"] = outcome.record.checksum;
  line["frame_headers"] = outcome.frame_header_digest;
  if (!outcome.invalid_frames.empty()) line["invalid_frames"] = outcome.invalid_frames;
  for (const Anomaly& anomaly : outcome.anomalies.listed()) {
    line["anomalies"].push_back(AnomalyToJson(anomaly));
  }
  if (outcome.anomalies.further() > 0) line["further_anomalies"] = outcome.anomalies.further();
  for (const LeafDigest& leaf : leaves) {
    line["leaves"].push_back(Json::array({leaf.file, leaf.leaf, leaf.digest}));
  }
  return line;
}

bool BlockFromJson(const Json& line, BlockOutcome& outcome, std::vector<LeafDigest>& leaves) {
  if (!line.contains("block")) return false;
  try {
    outcome.record.block = line.at("block").get<int64_t>();
    outcome.record.bytes = line.at("bytes").get<uint64_t>();
    outcome.record.checksum = line.at("checksum").get<std::string>();
    outcome.frame_header_digest = line.at("frame_headers").get<std::string>();
    outcome.invalid_frames = line.value("invalid_frames", std::vector<int64_t>());
    for (const Json& anomaly : line.value("anomalies", Json::array())) {
      outcome.anomalies.Add(AnomalyFromJson(anomaly));
    }
    outcome.anomalies.AddFurther(line.value("further_anomalies", uint64_t{0}));
    for (const Json& leaf : line.value("leaves", Json::array())) {
      leaves.push_back(
          {leaf.at(0).get<size_t>(), leaf.at(1).get<uint64_t>(), leaf.at(2).get<std::string>()});
    }
  } catch (const Json::exception&) {
    return false;
  }
  return true;
}

BlockIngester::BlockIngester(const IngestPlan& plan, Compression compression, const DiskSums* disk,
                             std::filesystem::path staging, SourceDigests& digests,
                             ProgressSink& progress, std::stop_token stop)
    : plan_(plan),
      compression_(compression),
      disk_(disk),
      staging_(std::move(staging)),
      progress_(progress),
      stop_(std::move(stop)) {
  context_.observer = &digests;
}

void BlockIngester::BeginMeasuring(const BlockRegion& region) {
  statistics_.reset();  // the old one's memory first
  statistics_ = std::make_unique<BlockStatistics>(plan_.shape, region);
  if (disk_ != nullptr) disk_sums_.assign(static_cast<size_t>(region.frame_count()), {});
}

void BlockIngester::Measure(int64_t index, std::span<const std::byte> pixels) {
  statistics_->AddFrame(index, pixels);
  if (disk_ != nullptr) disk_sums_[static_cast<size_t>(index)] = disk_->Of(pixels);
}

Result<BlockOutcome> BlockIngester::Write(int64_t block) {
  const BlockRegion region = RegionOfBlock(plan_.shape, plan_.grid, block);
  PENSTOCK_ASSIGN_OR_RETURN(BlockWriter writer,
                            BlockWriter::Create(staging_, plan_.shape, plan_.grid, block,
                                                plan_.tile_frames, compression_));
  BeginMeasuring(region);
  frame_headers_.assign(static_cast<size_t>(region.frame_count()), {});
  BlockReport report;
  context_.report = &report;
  BlockOutcome outcome;
  int64_t position = region.first_frame;
  const int64_t end = region.first_frame + region.frame_count();
  while (position < end) {
    if (stop_.stop_requested()) return Stopped();
    const ScanMapping::Run run =
        plan_.mapping.RunAt(position, std::min(plan_.tile_frames, end - position));
    PENSTOCK_RETURN_IF_ERROR(WriteRun(writer, region, position, run, report, outcome));
    position += run.count;
    progress_.Advance(static_cast<uint64_t>(run.count) * plan_.shape.frame_bytes());
  }
  PENSTOCK_ASSIGN_OR_RETURN(outcome.record, writer.Finish());
  outcome.anomalies = report.Anomalies();
  outcome.frame_header_digest = FrameHeaderDigest(frame_headers_);
  return outcome;
}

Status BlockIngester::WriteRun(BlockWriter& writer, const BlockRegion& region, int64_t position,
                               const ScanMapping::Run& run, BlockReport& report,
                               BlockOutcome& outcome) {
  const bool fills = plan_.options.missing == MissingPolicy::kNan;
  if (run.source < 0 && !fills) return writer.AppendMissing(run.count);
  const uint64_t frame_bytes = plan_.shape.frame_bytes();
  const std::span<std::byte> tile = writer.FrameBuffer(run.count);
  if (run.source < 0) {
    FillWithNan(plan_.shape.element_type, tile);
    return writer.Append(run.count);
  }
  PENSTOCK_RETURN_IF_ERROR(
      plan_.source->Decode(run.source, run.source + run.count, tile, context_));
  const auto headers = std::span(frame_headers_)
                           .subspan(static_cast<size_t>(position - region.first_frame),
                                    static_cast<size_t>(run.count));
  for (const auto& [source_frame, facts] : report.TakeFrameFacts()) {
    if (source_frame < run.source || source_frame >= run.source + run.count) continue;
    FrameHeader& header = headers[static_cast<size_t>(source_frame - run.source)];
    header.sequence_number = facts.sequence_number.value_or(-1);
    header.count_time = facts.exposure_ns.value_or(-1);
    header.start_time = facts.time_unix_ns.value_or(-1);
  }
  for (int64_t i = 0; i < run.count; ++i) {
    FrameHeader& header = headers[static_cast<size_t>(i)];
    header.source_frame = run.source + i;
    if (const auto location = plan_.source->Locate(run.source + i)) {
      header.source_file = static_cast<int64_t>(location->file);
      if (location->offset) header.source_offset = static_cast<int64_t>(*location->offset);
    }
    if (report.IsInvalid(run.source + i)) {
      outcome.invalid_frames.push_back(position + i);
    } else {
      Measure(position + i - region.first_frame,
              tile.subspan(static_cast<uint64_t>(i) * frame_bytes, frame_bytes));
    }
  }
  return writer.Append(run.count);
}

// Reads the whole file: kCorrupt where it is not what the journal knows.
Status BlockIngester::HashBlockFile(const std::filesystem::path& path, BlockOutcome& known) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  if (identity.size != known.record.bytes) {
    return Error::Corrupt("not the size of the block")
        .In(path.string())
        .Expected(fmt::format("{} bytes", known.record.bytes))
        .Found(fmt::format("{}", identity.size));
  }
  FileHasher file_hasher;
  ExtentHasher extent_hasher;
  for (uint64_t at = 0; at < identity.size;) {
    if (stop_.stop_requested()) return Stopped();
    const auto part = tile_.span().first(std::min<uint64_t>(tile_.size(), identity.size - at));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), at, part, path));
    file_hasher.Update(part);
    extent_hasher.Update(part);
    at += part.size();
  }
  const std::string found = file_hasher.HexDigest();
  if (found != known.record.checksum) {
    return Error::Corrupt("not the bytes that the journal knows")
        .In(path.string())
        .Expected(known.record.checksum)
        .Found(found);
  }
  known.record.extent_checksum = extent_hasher.Finish();
  return Status::Ok();
}

Result<BlockOutcome> BlockIngester::Verify(BlockOutcome known) {
  const int64_t block = known.record.block;
  const BlockRegion region = RegionOfBlock(plan_.shape, plan_.grid, block);
  const std::filesystem::path path = staging_ / BlockRelativePath(plan_.shape, plan_.grid, block);
  const uint64_t frame_bytes = plan_.shape.frame_bytes();
  if (tile_.size() == 0) {
    PENSTOCK_ASSIGN_OR_RETURN(
        tile_, AlignedBuffer::Allocate(std::max<uint64_t>(
                   kPayloadStart, static_cast<uint64_t>(plan_.tile_frames) * frame_bytes)));
  }
  if (compression_ == Compression::kNone) {
    known.record.bytes = BlockLayout::Of(plan_.shape, plan_.grid, block).file_bytes;
  }
  PENSTOCK_RETURN_IF_ERROR(HashBlockFile(path, known));
  PENSTOCK_ASSIGN_OR_RETURN(BlockFrames stored,
                            BlockFrames::Open(path, {.shape = plan_.shape,
                                                     .grid = plan_.grid,
                                                     .compression = compression_,
                                                     .block = block,
                                                     .file_bytes = known.record.bytes}));
  BeginMeasuring(region);
  const int64_t frames = region.frame_count();
  for (int64_t done = 0; done < frames;) {
    if (stop_.stop_requested()) return Stopped();
    const int64_t count = std::min(plan_.tile_frames, frames - done);
    const std::span<std::byte> tile =
        tile_.span().first(static_cast<uint64_t>(count) * frame_bytes);
    PENSTOCK_RETURN_IF_ERROR(stored.Read(region.first_frame + done, count, tile));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t position = region.first_frame + done + i;
      if (plan_.mapping.SourceFrame(position) < 0) continue;
      if (std::binary_search(known.invalid_frames.begin(), known.invalid_frames.end(), position)) {
        continue;
      }
      Measure(done + i, tile.subspan(static_cast<uint64_t>(i) * frame_bytes, frame_bytes));
    }
    done += count;
    progress_.Advance(tile.size());
  }
  PENSTOCK_ASSIGN_OR_RETURN(frame_headers_,
                            ReadFrameHeaders(staging_, plan_.shape, region.first_frame, frames));
  if (FrameHeaderDigest(frame_headers_) != known.frame_header_digest) {
    return Error::Corrupt("the headers of its frames are not those that the journal knows")
        .In(path.string())
        .Expected(known.frame_header_digest)
        .Found(FrameHeaderDigest(frame_headers_));
  }
  return known;
}

}  // namespace penstock::ingest
