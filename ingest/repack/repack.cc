#include "penstock/ingest/repack.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ingest/compress/measure.h"
#include "ingest/pipeline/announcement.h"
#include "ingest/pipeline/describe.h"
#include "ingest/pipeline/journal.h"
#include "ingest/pipeline/publication.h"
#include "ingest/repack/copy_rest.h"
#include "ingest/repack/repack_block.h"
#include "penstock/dataset/block_frames.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/repacked_description.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kSampledBytes = uint64_t{32} << 20;
constexpr int64_t kMostSamples = 32;
constexpr const char* kCompression = "compression";
constexpr const char* kReason = "reason";

// Errors after which the same call may go on where it stopped.
bool IsResumable(ErrorKind kind) {
  return kind == ErrorKind::kIo || kind == ErrorKind::kNoSpace || kind == ErrorKind::kPermission ||
         kind == ErrorKind::kTimeout || kind == ErrorKind::kCancelled;
}

int Workers(const RepackOptions& options, int64_t blocks) {
  const int wanted = options.workers > 0
                         ? options.workers
                         : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return static_cast<int>(std::clamp<int64_t>(blocks, 1, std::min(wanted, 1024)));
}

class RepackRun {
 public:
  RepackRun(StagingPaths paths, const RepackOptions& options, ProgressSink& progress,
            const std::stop_token& stop)
      : paths_(std::move(paths)), options_(options), progress_(progress), stop_(stop) {}

  Result<RepackResult> Run() {
    const auto began = std::chrono::steady_clock::now();
    result_.destination = paths_.destination;
    PENSTOCK_ASSIGN_OR_RETURN(journal_, Journal::Open(paths_.journal));
    Status done = RunLocked();
    if (!done.ok()) return GiveUp(std::move(done).error());
    result_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return result_;
  }

 private:
  Status RunLocked() {
    PENSTOCK_RETURN_IF_ERROR(UndoHalfReplacement(paths_));
    const bool published = WasPublished(*journal_, paths_);
    if (published) {
      PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
      PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.replaced));
    }
    PENSTOCK_ASSIGN_OR_RETURN(source_, Dataset::Open(paths_.destination));
    result_.frames = source_->shape().frame_count();
    result_.frame_bytes = source_->shape().payload_bytes();
    result_.blocks = source_->grid().block_count();
    result_.before = result_.after = source_->compression();
    if (published && journal_->lines().front().value("repack", 0) == 1 &&
        journal_->lines().front().value("compression", "") ==
            CompressionChoiceName(options_.compression)) {
      result_.was_published_before = true;
      return journal_->Remove();
    }
    if (source_->state() == kGrowingState) {
      return Error::InvalidArgument("a growing dataset is not repacked")
          .In(paths_.destination.string())
          .Advice("wait until the acquisition has ended");
    }
    PENSTOCK_RETURN_IF_ERROR(PrepareStaging());
    PENSTOCK_RETURN_IF_ERROR(DecideCompression());
    for (const BlockInfo& block : source_->blocks()) result_.bytes_before += block.bytes;
    if (target_ == source_->compression()) {
      result_.is_unchanged = true;
      result_.bytes_after = result_.bytes_before;
      PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
      return journal_->Remove();
    }
    result_.after = target_;
    PENSTOCK_RETURN_IF_ERROR(ConvertBlocks());
    PENSTOCK_RETURN_IF_ERROR(Describe());
    return Publish();
  }

  Json Identity() const {
    Json identity;
    identity["journal"] = 1;
    identity["repack"] = 1;
    identity["generation"] = source_->generation();
    identity["compression"] = CompressionChoiceName(options_.compression);
    return identity;
  }

  Status PrepareStaging() {
    const Json identity = Identity();
    const bool exists = NameExists(paths_.staging);
    if (exists && !journal_->lines().empty() && journal_->lines().front() == identity) {
      is_ours_ = true;
      for (const Json& line : journal_->lines()) {
        RepackedBlock block;
        if (!RepackedBlockFromJson(line, block)) continue;
        if (block.record.block < 0 || block.record.block >= source_->grid().block_count()) continue;
        finished_.insert_or_assign(block.record.block, std::move(block));
      }
      if (!finished_.empty()) {
        progress_.Note(fmt::format("continuing: {} of {} blocks were finished, they are verified",
                                   finished_.size(), source_->grid().block_count()));
      }
      PENSTOCK_RETURN_IF_ERROR(KeepBlocksOnly(paths_.staging));
      return RemoveTree(paths_.staging / "data.zarr/frame_header");
    }
    const bool is_repack =
        !journal_->lines().empty() && journal_->lines().front().value("repack", 0) == 1;
    if (!journal_->lines().empty() && !is_repack) {
      return Error::Busy("an ingest into this dataset was begun and not finished")
          .In(paths_.staging.string())
          .Advice("finish it with the same command, or remove " + paths_.staging.string() +
                  " and " + paths_.journal.string());
    }
    if (exists) {
      progress_.Note(fmt::format("{}: an unfinished repack of another kind is discarded",
                                 paths_.staging.string()));
      PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
    }
    is_ours_ = true;
    PENSTOCK_RETURN_IF_ERROR(journal_->Restart(identity));
    return CreateDirectories(paths_.staging);
  }

  Status DecideCompression() {
    if (options_.compression != CompressionChoice::kAutomatic) {
      PENSTOCK_ASSIGN_OR_RETURN(target_,
                                ParseCompression(CompressionChoiceName(options_.compression)));
      return Status::Ok();
    }
    // The blocks of an earlier run are of its compression.
    for (const Json& line : journal_->lines()) {
      if (!line.contains(kReason) || !line[kReason].is_string()) continue;
      const auto known = ParseCompression(line.value(kCompression, ""));
      if (!known.ok()) continue;
      target_ = *known;
      result_.compression_reason = line[kReason].get<std::string>();
      return Status::Ok();
    }
    PENSTOCK_ASSIGN_OR_RETURN(const CompressionDecision decision, Measure());
    target_ = decision.compression;
    result_.compression_reason = decision.reason;
    Json line;
    line[kCompression] = CompressionName(target_);
    line[kReason] = decision.reason;
    return journal_->Append(line);
  }

  // On chunks spread over the blocks.
  Result<CompressionDecision> Measure() {
    const DatasetShape& shape = source_->shape();
    const int64_t chunk_frames = GridFor(shape, source_->grid(), Compression::kLz4).inner_columns;
    const uint64_t chunk_bytes = static_cast<uint64_t>(chunk_frames) * shape.frame_bytes();
    const int64_t chunks = shape.frame_count() / chunk_frames;
    const int64_t samples = std::clamp<int64_t>(static_cast<int64_t>(kSampledBytes / chunk_bytes),
                                                1, std::min(kMostSamples, chunks));
    std::vector<std::byte> pixels(static_cast<size_t>(samples) * chunk_bytes);
    for (int64_t i = 0; i < samples; ++i) {
      const int64_t frame = (2 * i + 1) * chunks / (2 * samples) * chunk_frames;
      const int64_t block = BlockOfFrame(shape, source_->grid(), frame);
      const BlockInfo& info = source_->blocks()[static_cast<size_t>(block)];
      PENSTOCK_ASSIGN_OR_RETURN(BlockFrames frames,
                                BlockFrames::Open(source_->directory() / info.relative_path,
                                                  {.shape = shape,
                                                   .grid = source_->grid(),
                                                   .compression = source_->compression(),
                                                   .block = block,
                                                   .file_bytes = info.bytes}));
      PENSTOCK_RETURN_IF_ERROR(frames.Read(
          frame, chunk_frames,
          std::span(pixels).subspan(static_cast<size_t>(i) * chunk_bytes, chunk_bytes)));
    }
    PENSTOCK_ASSIGN_OR_RETURN(
        const auto measured,
        MeasureCompression(ElementSize(shape.element_type), chunk_bytes, pixels));
    PENSTOCK_ASSIGN_OR_RETURN(const double store_rate, MeasureStoreRate(paths_.staging));
    return ingest::DecideCompression(
        measured, store_rate, static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  }

  Status ConvertBlocks() {
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<int32_t> image_key, source_->ReadImageKey());
    blocks_.resize(static_cast<size_t>(result_.blocks));
    progress_.Begin("repack " + paths_.destination.filename().string(), result_.frame_bytes);
    std::stop_source failing;
    const std::stop_callback forward(stop_, [&failing] { failing.request_stop(); });
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      BlockRepacker repacker(*source_, image_key, target_, paths_.staging, progress_,
                             failing.get_token());
      while (!failing.stop_requested()) {
        const int64_t block = next.fetch_add(1);
        if (block >= result_.blocks) return;
        Status done = ConvertBlock(repacker, block);
        if (done.ok()) continue;
        const std::lock_guard lock(mutex_);
        // That others stopped because of an error is none.
        if (!error_ || error_->kind() == ErrorKind::kCancelled) error_ = std::move(done).error();
        failing.request_stop();
      }
    };
    {
      std::vector<std::jthread> workers;
      for (int i = 1; i < Workers(options_, result_.blocks); ++i) workers.emplace_back(work);
      work();
    }
    progress_.End();
    if (error_) return *error_;
    if (stop_.stop_requested()) return Error::Cancelled("stopped");
    return Status::Ok();
  }

  Status ConvertBlock(BlockRepacker& repacker, int64_t block) {
    RepackedBlock& converted = blocks_[static_cast<size_t>(block)];
    if (const auto known = finished_.find(block); known != finished_.end()) {
      auto verified = repacker.Verify(known->second);
      if (verified.ok()) {
        converted = *std::move(verified);
        const std::lock_guard lock(mutex_);
        ++result_.resumed_blocks;
        return Status::Ok();
      }
      if (verified.error().kind() == ErrorKind::kCancelled) return verified.error();
      progress_.Note(fmt::format("written again: {}", verified.error().ToString()));
    }
    // A block without its line in the journal is not trusted.
    PENSTOCK_RETURN_IF_ERROR(
        RemoveTree(paths_.staging / BlockRelativePath(source_->shape(), source_->grid(), block)));
    PENSTOCK_ASSIGN_OR_RETURN(converted, repacker.Write(block));
    return journal_->Append(RepackedBlockToJson(converted));
  }

  Status Describe() {
    std::string digests;
    RepackedBlocks repacked{.compression = target_, .blocks = {}, .history = {}};
    for (const RepackedBlock& block : blocks_) {
      repacked.blocks.push_back(block.record);
      result_.bytes_after += block.record.bytes;
      for (size_t at = 0; at + 2 <= block.pixel_digest.size(); at += 2) {
        digests.push_back(
            static_cast<char>(std::stoi(block.pixel_digest.substr(at, 2), nullptr, 16)));
      }
    }
    result_.pixel_checksum = HashBytes(AsBytes(digests));
    repacked.history = NewHistoryEntry("repack", options_.command_line);
    repacked.history.parameters = Json{{"generation", source_->generation()},
                                       {"compression_before", CompressionName(result_.before)},
                                       {"compression", CompressionName(target_)},
                                       {"pixel_checksum", result_.pixel_checksum}};
    if (!result_.compression_reason.empty()) {
      repacked.history.parameters["reason"] = result_.compression_reason;
    }
    PENSTOCK_RETURN_IF_ERROR(CopyRest(paths_.destination, paths_.staging, progress_));
    PENSTOCK_RETURN_IF_ERROR(WriteRepackedDescription(*source_, paths_.staging, repacked));
    CopyOwnership(paths_.destination, paths_.staging, progress_);
    return SyncTree(paths_.staging);
  }

  Status Publish() {
    if (stop_.stop_requested()) return Error::Cancelled("stopped before publication");
    PENSTOCK_ASSIGN_OR_RETURN(const std::string now, HashFile(paths_.destination / "nexus.json"));
    if (now != source_->generation()) {
      return Error::Corrupt("the dataset was replaced while it was repacked")
          .In(paths_.destination.string())
          .Expected("generation " + source_->generation())
          .Found(now)
          .Advice("repack it again");
    }
    PENSTOCK_RETURN_IF_ERROR(AnnouncePublication(*journal_, paths_));
    PENSTOCK_RETURN_IF_ERROR(PublishInPlaceOf(paths_));
    PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
    PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.replaced));
    return journal_->Remove();
  }

  // What stays behind: the staging directory where it is of use, else nothing.
  Error GiveUp(Error error) {
    const std::string context = "repacking " + paths_.destination.string();
    if (IsResumable(error.kind()) && !blocks_.empty()) {
      if (error.advice().empty()) {
        Error advised = std::move(error).Advice(
            fmt::format("the dataset is as it was, what is done is kept in {}: give the same "
                        "command again to continue",
                        paths_.staging.string()));
        return std::move(advised).Context(context);
      }
      return std::move(error).Context(context);
    }
    // What another run has left is not touched.
    if (is_ours_) {
      const Status staging = RemoveTree(paths_.staging);
      if (!staging.ok()) progress_.Note(staging.error().ToString());
    }
    if (is_ours_ || journal_->lines().empty()) {
      const Status journal = journal_->Remove();
      if (!journal.ok()) progress_.Note(journal.error().ToString());
    }
    return std::move(error).Context(context);
  }

  const StagingPaths paths_;
  const RepackOptions& options_;
  ProgressSink& progress_;
  const std::stop_token& stop_;
  std::unique_ptr<Journal> journal_;
  std::optional<Dataset> source_;
  bool is_ours_ = false;  // what lies in the staging directory
  Compression target_ = Compression::kNone;
  std::map<int64_t, RepackedBlock> finished_;  // by an earlier run, as the journal says
  std::vector<RepackedBlock> blocks_;          // by number; each written by one worker
  RepackResult result_;

  std::mutex mutex_;
  std::optional<Error> error_;  // of a worker
};

}  // namespace

Result<RepackResult> RepackDataset(const std::filesystem::path& dataset,
                                   const RepackOptions& options, ProgressSink& progress,
                                   const std::stop_token& stop) {
  std::error_code problem;
  // Through symbolic links: the directory itself is replaced.
  std::filesystem::path path = std::filesystem::weakly_canonical(dataset, problem);
  if (problem) path = std::filesystem::absolute(dataset, problem).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const StagingPaths paths = StagingPaths::Of(path);
  if (!NameExists(paths.replaced)) {
    // Also keeps a journal out of folders that hold no dataset.
    const auto opened = Dataset::Open(path);
    if (!opened.ok()) return opened.error();
  }
  return RepackRun(paths, options, progress, stop).Run();
}

}  // namespace penstock::ingest
