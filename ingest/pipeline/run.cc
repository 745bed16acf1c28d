#include <fmt/format.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "ingest/pipeline/announcement.h"
#include "ingest/pipeline/describe.h"
#include "ingest/pipeline/ingest_run.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/frame_header.h"

namespace penstock::ingest {

namespace {

// The journal's line of a compression that was chosen by measurement, which a later run keeps.
constexpr const char* kCompression = "compression";
constexpr const char* kCompressionReason = "reason";

// Errors after which the same call may go on where it stopped.
bool IsResumable(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kIo:
    case ErrorKind::kNoSpace:
    case ErrorKind::kPermission:
    case ErrorKind::kTimeout:
    case ErrorKind::kCancelled:
    case ErrorKind::kAlreadyExists:
      return true;
    default:
      return false;
  }
}

}  // namespace

IngestRun::IngestRun(IngestPlan plan, ProgressSink& progress, std::stop_token stop)
    : plan_(std::move(plan)),
      progress_(progress),
      stop_(std::move(stop)),
      paths_(StagingPaths::Of(plan_.destination)),
      digests_(plan_.source->description().files),
      outcomes_(static_cast<size_t>(plan_.grid.block_count())) {}

Result<IngestResult> IngestRun::Run() {
  const auto began = std::chrono::steady_clock::now();
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(paths_.parent));
  PENSTOCK_ASSIGN_OR_RETURN(journal_, Journal::Open(paths_.journal));
  PENSTOCK_ASSIGN_OR_RETURN(const bool published_before, FinishEarlierPublication());
  if (!published_before) {
    PENSTOCK_RETURN_IF_ERROR(CheckDestination());
    PENSTOCK_RETURN_IF_ERROR(PrepareStaging());
    Status done = DecideCompression();
    if (done.ok()) done = Work();
    if (!done.ok()) return GiveUp(std::move(done).error());
  }
  IngestResult result = Summarise();
  result.was_published_before = published_before;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

Json IngestRun::Identity() const { return PlanIdentity(plan_); }

Status IngestRun::CheckDestination() { return RefuseExisting(); }

void IngestRun::Discard() {
  const Status staging = RemoveTree(paths_.staging);
  const Status journal = journal_->Remove();
  if (!staging.ok()) progress_.Note(staging.error().ToString());
  if (!journal.ok()) progress_.Note(journal.error().ToString());
}

// Where an earlier run was killed between publication and cleaning up: true if that was a run of
// this very plan, so that nothing is left to do.
Result<bool> IngestRun::FinishEarlierPublication() {
  PENSTOCK_RETURN_IF_ERROR(UndoHalfReplacement(paths_));
  if (!WasPublished(*journal_, paths_)) return false;
  const bool same_plan = journal_->lines().front() == Identity();
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.replaced));
  if (same_plan) {
    PENSTOCK_RETURN_IF_ERROR(journal_->Remove());
  } else {
    PENSTOCK_RETURN_IF_ERROR(journal_->Restart(Identity()));
  }
  return same_plan;
}

Status IngestRun::RefuseExisting() {
  if (!NameExists(paths_.destination)) return Status::Ok();
  const bool is_dataset = LooksLikeDataset(paths_.destination);
  if (plan_.options.replace && is_dataset) return Status::Ok();
  if (!NameExists(paths_.staging)) PENSTOCK_RETURN_IF_ERROR(journal_->Remove());
  if (!is_dataset) {
    return Error::AlreadyExists("the destination exists and is no dataset")
        .In(paths_.destination.string())
        .Advice("choose another name; only a dataset is ever replaced");
  }
  return Error::AlreadyExists("the destination exists")
      .In(paths_.destination.string())
      .Advice("choose another name, or give --replace to replace it once the new one is whole");
}

// Leaves a staging directory that fits the plan, with what an earlier run has finished in
// `finished_`.
Status IngestRun::PrepareStaging() {
  const Json identity = Identity();
  const bool exists = NameExists(paths_.staging);
  if (exists && !journal_->lines().empty() && journal_->lines().front() == identity) {
    AdoptJournal();
    return KeepBlocksOnly(paths_.staging);
  }
  if (exists) {
    progress_.Note(fmt::format("{}: an unfinished ingest of another plan is discarded",
                               paths_.staging.string()));
    PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
  }
  PENSTOCK_RETURN_IF_ERROR(journal_->Restart(identity));
  return CreateDirectories(paths_.staging);
}

void IngestRun::AdoptJournal() {
  for (const Json& line : journal_->lines()) {
    BlockOutcome outcome;
    std::vector<LeafDigest> leaves;
    if (!BlockFromJson(line, outcome, leaves)) continue;
    if (outcome.record.block < 0 || outcome.record.block >= plan_.grid.block_count()) continue;
    for (const LeafDigest& leaf : leaves) digests_.Adopt(leaf);
    finished_.insert_or_assign(outcome.record.block, std::move(outcome));
  }
  if (!finished_.empty()) {
    progress_.Note(fmt::format("continuing: {} of {} blocks were finished, they are verified",
                               finished_.size(), plan_.grid.block_count()));
  }
}

Status IngestRun::DecideCompression() {
  const bool measures =
      plan_.options.compression == CompressionChoice::kAutomatic && !RememberCompression();
  PENSTOCK_RETURN_IF_ERROR(BeforeCompression(measures));
  switch (plan_.options.compression) {
    case CompressionChoice::kNone:
      return Status::Ok();
    case CompressionChoice::kLz4:
      compression_.compression = Compression::kLz4;
      break;
    case CompressionChoice::kZstd:
      compression_.compression = Compression::kZstd;
      break;
    case CompressionChoice::kAutomatic:
      if (measures) PENSTOCK_RETURN_IF_ERROR(MeasureCompression());
      break;
  }
  plan_.grid = GridFor(plan_.shape, plan_.grid, compression_.compression);
  return Status::Ok();
}

// True where an earlier run has measured: its blocks are of its compression.
bool IngestRun::RememberCompression() {
  for (const Json& line : journal_->lines()) {
    if (!line.contains(kCompression) || !line.contains(kCompressionReason)) continue;
    const Json& name = line[kCompression];
    const Json& reason = line[kCompressionReason];
    const auto known = ParseCompression(name.is_string() ? name.get<std::string>() : "");
    if (!known.ok() || !reason.is_string()) continue;
    compression_ = {.compression = *known, .reason = reason.get<std::string>()};
    return true;
  }
  return false;
}

Status IngestRun::MeasureCompression() {
  PENSTOCK_ASSIGN_OR_RETURN(compression_, ChooseCompression(plan_, paths_.staging, stop_));
  Json line;
  line[kCompression] = CompressionName(compression_.compression);
  line[kCompressionReason] = compression_.reason;
  return journal_->Append(line);
}

// Bright and dark field are summed in the one pass over the frames, so the disk comes first.
Status IngestRun::PreparePreview() {
  if (!plan_.shape.scan.is_series && !IsComplex(plan_.shape.element_type)) {
    PENSTOCK_ASSIGN_OR_RETURN(probe_, ProbeBrightDisk(plan_, stop_));
    const std::optional<BrightDisk>& disk = probe_->search.disk;
    if (disk) {
      disk_sums_.emplace(plan_.shape, *disk);
    } else if (!stop_.stop_requested()) {
      progress_.Note("remark: no bright-field and dark-field pictures: " + probe_->search.reason);
    }
  }
  preview_.emplace(plan_.shape, probe_ ? probe_->search.disk : std::nullopt);
  return Status::Ok();
}

Status IngestRun::Work() {
  PENSTOCK_RETURN_IF_ERROR(PreparePreview());
  progress_.Begin("ingest " + paths_.destination.filename().string(), plan_.shape.payload_bytes());
  std::vector<int64_t> blocks(static_cast<size_t>(plan_.grid.block_count()));
  std::iota(blocks.begin(), blocks.end(), int64_t{0});
  Status ingested = IngestBlocks(blocks);
  progress_.End();
  PENSTOCK_RETURN_IF_ERROR(ingested);
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<SourceDigest> digests, TakeDigests());
  return DescribeAndPublish(digests);
}

Result<std::vector<SourceDigest>> IngestRun::TakeDigests() {
  progress_.Begin("hash source", digests_.MissingBytes());
  auto digests = digests_.Finish(progress_, stop_);
  progress_.End();
  if (!digests.ok()) return std::move(digests).error();
  PENSTOCK_RETURN_IF_ERROR(CheckSourceUnchanged());
  return digests;
}

Status IngestRun::DescribeAndPublish(const std::vector<SourceDigest>& digests) {
  MergeAnomalies();
  PENSTOCK_RETURN_IF_ERROR(preview_->Write(paths_.staging));
  PENSTOCK_RETURN_IF_ERROR(DropSilentFrameHeaders(paths_.staging, plan_.shape));
  PENSTOCK_RETURN_IF_ERROR(
      WriteDescription(paths_.staging, Describe(plan_, digests, anomalies_, probe_), Contents()));
  PENSTOCK_RETURN_IF_ERROR(SyncTree(paths_.staging));
  if (stop_.stop_requested()) return Error::Cancelled("stopped before publication");
  return Publish();
}

Status IngestRun::IngestBlocks(std::span<const int64_t> blocks) {
  std::stop_source failing;
  const std::stop_callback forward(stop_, [&failing] { failing.request_stop(); });
  std::atomic<size_t> next{0};
  const auto work = [this, blocks, &failing, &next] {
    BlockIngester ingester(plan_, compression_.compression, disk_sums_ ? &*disk_sums_ : nullptr,
                           paths_.staging, digests_, progress_, failing.get_token());
    while (!failing.stop_requested()) {
      const size_t index = next.fetch_add(1);
      if (index >= blocks.size()) return;
      Status done = IngestBlock(ingester, blocks[index]);
      if (!done.ok()) {
        KeepError(std::move(done).error());
        failing.request_stop();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < plan_.workers; ++i) workers.emplace_back(work);
    work();
  }
  if (error_) return *error_;
  if (stop_.stop_requested()) return Error::Cancelled("stopped");
  return Status::Ok();
}

Status IngestRun::IngestBlock(BlockIngester& ingester, int64_t block) {
  PENSTOCK_ASSIGN_OR_RETURN(BlockOutcome outcome, WriteOrVerify(ingester, block));
  PENSTOCK_RETURN_IF_ERROR(
      WriteBlockStatistics(paths_.staging, plan_.shape, plan_.grid, block, ingester.statistics()));
  preview_->AddBlock(RegionOfBlock(plan_.shape, plan_.grid, block), ingester.statistics(),
                     ingester.disk_sums());
  outcomes_[static_cast<size_t>(block)] = std::move(outcome);
  return AfterBlock(block);
}

Result<BlockOutcome> IngestRun::WriteOrVerify(BlockIngester& ingester, int64_t block) {
  if (const auto known = finished_.find(block); known != finished_.end()) {
    auto verified = ingester.Verify(known->second);
    if (verified.ok()) {
      resumed_.fetch_add(1);
      return verified;
    }
    if (verified.error().kind() == ErrorKind::kCancelled) return verified;
    progress_.Note(fmt::format("written again: {}", verified.error().ToString()));
  }
  // A block without its line in the journal is not trusted.
  PENSTOCK_RETURN_IF_ERROR(
      RemoveTree(paths_.staging / BlockRelativePath(plan_.shape, plan_.grid, block)));
  PENSTOCK_ASSIGN_OR_RETURN(BlockOutcome outcome, ingester.Write(block));
  PENSTOCK_RETURN_IF_ERROR(WriteBlockFrameHeaders(paths_.staging, plan_.shape, plan_.grid, block,
                                                  ingester.frame_headers()));
  if (journals_blocks_) {
    PENSTOCK_RETURN_IF_ERROR(journal_->Append(BlockToJson(outcome, digests_.TakeCompleted())));
  }
  return outcome;
}

// The first error counts; that others stopped because of it is none.
void IngestRun::KeepError(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_ || error_->kind() == ErrorKind::kCancelled) error_ = std::move(error);
}

Status IngestRun::CheckSourceUnchanged() const {
  for (const SourceFile& file : plan_.source->description().files) {
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity now, IdentifyFile(file.path));
    if (now == file.identity) continue;
    const bool grew = now.inode == file.identity.inode && now.device == file.identity.device &&
                      now.size >= file.identity.size;
    if (source_may_grow_ && grew) continue;
    return Error::Corrupt("the source changed while it was read")
        .In(file.path.string())
        .Expected(
            fmt::format("{} bytes, modified at {} ns", file.identity.size, file.identity.mtime_ns))
        .Found(fmt::format("{} bytes, modified at {} ns", now.size, now.mtime_ns))
        .Advice("ingest again once the acquisition or the copy is complete");
  }
  return Status::Ok();
}

void IngestRun::MergeAnomalies() {
  for (const Anomaly& anomaly : plan_.anomalies) anomalies_.Add(anomaly);
  for (const BlockOutcome& outcome : outcomes_) {
    for (Anomaly anomaly : outcome.anomalies.listed()) {
      if (anomaly.file.empty()) anomaly.file = plan_.source_path.string();
      anomalies_.Add(std::move(anomaly));
    }
    anomalies_.AddFurther(outcome.anomalies.further());
  }
}

DatasetContents IngestRun::Contents() {
  DatasetContents contents;
  contents.compression = compression_.compression;
  contents.image_key.resize(static_cast<size_t>(plan_.shape.frame_count()));
  for (int64_t position = 0; position < plan_.shape.frame_count(); ++position) {
    if (plan_.mapping.SourceFrame(position) < 0) MarkInvalid(contents, position);
  }
  for (const BlockOutcome& outcome : outcomes_) {
    contents.blocks.push_back(outcome.record);
    for (const int64_t position : outcome.invalid_frames) MarkInvalid(contents, position);
  }
  return contents;
}

void IngestRun::MarkInvalid(DatasetContents& contents, int64_t position) {
  contents.image_key[static_cast<size_t>(position)] = kInvalidFrame;
  ++invalid_frames_;
}

Status IngestRun::Publish() {
  PENSTOCK_RETURN_IF_ERROR(AnnouncePublication(*journal_, paths_));
  if (!ReplacesDestination()) {
    PENSTOCK_RETURN_IF_ERROR(PublishNew(paths_));
  } else {
    PENSTOCK_RETURN_IF_ERROR(PublishInPlaceOf(paths_));
    PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
    PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.replaced));
  }
  return journal_->Remove();
}

// What stays behind after an error: the staging directory where it is of use, else nothing.
Error IngestRun::GiveUp(Error error) {
  if (!IsResumable(error.kind())) {
    Discard();
  } else if (error.advice().empty()) {
    Error advised = std::move(error).Advice(
        fmt::format("what is done is kept in {}: give the same command again to continue",
                    paths_.staging.string()));
    return std::move(advised).Context("ingesting " + plan_.source_path.string());
  }
  return std::move(error).Context("ingesting " + plan_.source_path.string());
}

IngestResult IngestRun::Summarise() const {
  IngestResult result;
  result.destination = paths_.destination;
  result.frames = plan_.shape.frame_count();
  result.frame_bytes = plan_.shape.payload_bytes();
  result.missing_frames = invalid_frames_;
  result.source_files = plan_.source->description().files.size();
  result.blocks = plan_.grid.block_count();
  result.compression = compression_.compression;
  result.compression_reason = compression_.reason;
  for (const BlockOutcome& outcome : outcomes_) result.stored_bytes += outcome.record.bytes;
  result.resumed_blocks = resumed_.load();
  result.anomalies = anomalies_.listed();
  result.further_anomalies = anomalies_.further();
  return result;
}

Result<IngestResult> RunIngest(const IngestPlan& plan, ProgressSink& progress,
                               std::stop_token stop) {
  IngestRun run(plan, progress, std::move(stop));
  return run.Run();
}

}  // namespace penstock::ingest
