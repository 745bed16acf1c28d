#include "penstock/ingest/follow.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include "ingest/pipeline/describe.h"
#include "ingest/pipeline/growing_view.h"
#include "ingest/pipeline/ingest_run.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset.h"
#include "penstock/ingest/registry.h"

namespace penstock::ingest {

namespace {

using Clock = std::chrono::steady_clock;

// How often the files are looked at, at most and at least.
constexpr std::chrono::milliseconds kShortestPause{20};
constexpr std::chrono::milliseconds kLongestPause{1000};
// A vendor's header may be written a moment after the first frame.
constexpr std::chrono::milliseconds kHeaderGrace{2000};
// What tells one acquisition from another that was written into the same file.
constexpr uint64_t kPrefixBytes = uint64_t{64} << 10;
// Times that the source may still change while its digests are taken.
constexpr int kMostAttempts = 20;
constexpr const char* kPrefixKey = "prefix";

std::chrono::milliseconds PauseOf(const FollowOptions& follow) {
  return std::clamp(follow.quiet / 10, kShortestPause, kLongestPause);
}

// False where `stop` came first.
bool Pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

// The files of an acquisition and their folder, as far as a look from outside tells.
class Watch {
 public:
  explicit Watch(const std::filesystem::path& opened) : files_{opened} {}

  void SetFiles(const std::vector<SourceFile>& files) {
    // Those that are written last, and the first; a series may have thousands.
    constexpr size_t kLast = 4;
    files_.assign(1, files.front().path);
    for (size_t i = files.size() > kLast ? files.size() - kLast : 0; i < files.size(); ++i) {
      files_.push_back(files[i].path);
    }
  }

  // Whether anything is different from the last time.
  bool Changed() {
    std::vector<FileIdentity> now;
    for (const std::filesystem::path& file : files_) {
      now.push_back(IdentifyFile(file).ok() ? *IdentifyFile(file) : FileIdentity{});
    }
    const std::filesystem::path& first = files_.front();
    const auto folder = IdentifyFile(first.has_parent_path() ? first.parent_path() : ".");
    now.push_back(folder.ok() ? *folder : FileIdentity{});
    const bool changed = now != seen_;
    seen_ = std::move(now);
    return changed;
  }

 private:
  std::vector<std::filesystem::path> files_;
  std::vector<FileIdentity> seen_;
};

// The policy of a plan that is made again and again while frames arrive.
IngestOptions FollowingOptions(const IngestOptions& options) {
  IngestOptions following = options;
  if (following.missing != MissingPolicy::kNan) following.missing = MissingPolicy::kZero;
  return following;
}

Status RefuseWhatCannotGrow(const IngestPlan& plan) {
  if (plan.source->MayGrow()) return Status::Ok();
  return Error::InvalidArgument("this format cannot be followed")
      .In(plan.source_path.string())
      .Expected("a source that grows frame by frame: MIB, raw")
      .Found(plan.source->description().format)
      .Advice("ingest it without --follow, or let 'penstock watch' take it, once it is complete");
}

Status RefuseUnknownScan(const IngestPlan& plan) {
  const std::vector<ScanShapeEvidence>& stated = plan.source->description().scan_shapes;
  if (plan.options.scan_shape || (!stated.empty() && !stated.front().from_frames)) {
    return Status::Ok();
  }
  return Error::InvalidArgument("nothing says how many frames this acquisition will have")
      .In(plan.source_path.string())
      .Expected("a scan shape from the command line or from the vendor's header")
      .Found(plan.shape_candidates.front().evidence)
      .Advice("give --scan-shape ROWS,COLUMNS, or ingest it without --follow once it is complete");
}

// Whether a moment later the same files may give a plan: nothing there yet, a file that has only
// just been begun, frames that a synchronisation offset skips.
bool MayPass(const Error& error, const IngestOptions& options) {
  switch (error.kind()) {
    case ErrorKind::kNotFound:
    case ErrorKind::kCorrupt:
    case ErrorKind::kIo:
      return true;
    case ErrorKind::kInvalidArgument:
      return options.sync_offset > 0;
    default:
      return false;
  }
}

class FollowRun final : public IngestRun {
 public:
  FollowRun(const IngestPlan& plan, const FollowOptions& follow, ProgressSink& progress,
            std::stop_token stop)
      // The work itself is not stopped: what is there is to become a dataset.
      : IngestRun(plan, progress, std::stop_token()),
        follow_(follow),
        follow_stop_(std::move(stop)),
        watch_(plan.source_path),
        view_(paths_),
        done_(static_cast<size_t>(plan.grid.block_count())) {}

 private:
  // An acquisition that grows is the same one: neither sizes nor times count, nor how many frames
  // there are yet, but what its first file begins with.
  Json Identity() const override {
    const SourceFile& first = plan_.source->description().files.front();
    Json identity = PlanIdentity(plan_);
    identity["follow"] = 1;
    identity["sources"] = Json::array({{{"name", first.path.filename().string()},
                                        {"device", first.identity.device},
                                        {"inode", first.identity.inode}}});
    identity["mapping"].erase("source_frames");
    identity["mapping"].erase("gaps");
    // Of an earlier run, the same number of bytes: it may have begun with fewer.
    uint64_t bytes = std::min(first.identity.size, kPrefixBytes);
    if (!journal_->lines().empty()) {
      const auto before = journal_->lines().front().find(kPrefixKey);
      if (before != journal_->lines().front().end() && before->is_array() && before->size() == 2 &&
          before->at(0).is_number_unsigned()) {
        bytes = std::min(bytes, before->at(0).get<uint64_t>());
      }
    }
    std::vector<std::byte> prefix(bytes);
    std::string digest;
    const auto fd = OpenFile(first.path, O_RDONLY);
    if (fd.ok() && ReadFully(fd->get(), 0, prefix, first.path).ok()) digest = HashBytes(prefix);
    identity[kPrefixKey] = Json::array({bytes, digest});
    return identity;
  }

  // A growing dataset there is ours where the journal is: we hold its lock.
  Status CheckDestination() override {
    if (!NameExists(paths_.destination)) return Status::Ok();
    const auto there = Dataset::Open(paths_.destination);
    const bool is_ours = there.ok() && there->state() == kGrowingState &&
                         !journal_->lines().empty() && journal_->lines().front() == Identity();
    return is_ours ? Status::Ok() : RefuseExisting();
  }

  bool ReplacesDestination() const override { return true; }

  void Discard() override {
    IngestRun::Discard();
    if (!view_published_) return;
    const Status removed = RemoveTree(paths_.destination);
    if (!removed.ok()) progress_.Note(removed.error().ToString());
  }

  // The dataset appears once the first block has its frames, or no more will come: until then there
  // is nothing to measure.
  Status BeforeCompression(bool measures) override {
    if (!measures) return Status::Ok();
    const int64_t enough = RegionOfBlock(plan_.shape, plan_.grid, 0).frame_count();
    watch_.SetFiles(plan_.source->description().files);
    watch_.Changed();
    LookAgain();
    for (auto last_change = Clock::now(); broken_.empty() && Reached() < enough;) {
      if (Clock::now() - last_change >= follow_.quiet) break;
      if (!Pause(PauseOf(follow_), follow_stop_)) break;
      if (!watch_.Changed()) continue;
      last_change = Clock::now();
      LookAgain();
    }
    return Status::Ok();
  }

  // Scan positions from the first on that have their frame, or have lost it.
  int64_t Reached() const { return plan_.mapping.PositionsBefore(plan_.mapping.NumberCount()); }

  Status Work() override {
    PENSTOCK_RETURN_IF_ERROR(CreateStatistics(paths_.staging, plan_.shape, plan_.grid));
    PENSTOCK_RETURN_IF_ERROR(
        view_.Publish(Describe(plan_, EmptyDigests(), AnomalyList(1), {}), GrowingContents()));
    view_published_ = true;
    progress_.Begin("follow " + paths_.destination.filename().string(),
                    plan_.shape.payload_bytes());
    Status followed = Follow();
    progress_.End();
    PENSTOCK_RETURN_IF_ERROR(followed);
    return Seal();
  }

  Status Follow() {
    watch_.SetFiles(plan_.source->description().files);
    watch_.Changed();
    // What came since the plan was made.
    LookAgain();
    auto last_change = Clock::now();
    for (;;) {
      PENSTOCK_RETURN_IF_ERROR(IngestDue());
      const auto still = Clock::now() - last_change;
      const auto settled = std::min<std::chrono::milliseconds>(follow_.quiet, kLongestPause);
      if (IsComplete() && still >= settled) return Status::Ok();
      if (!broken_.empty()) return End(broken_);
      if (still >= follow_.quiet) {
        return End(fmt::format("nothing was written for {:.1f} s{}",
                               std::chrono::duration<double>(follow_.quiet).count(), unreadable_));
      }
      if (!Pause(PauseOf(follow_), follow_stop_)) {
        if (!IsComplete()) progress_.Note("stopping: what is there becomes a dataset");
        return IsComplete() ? Status::Ok() : End("following was stopped");
      }
      if (!watch_.Changed()) continue;
      last_change = Clock::now();
      LookAgain();
    }
  }

  // Following is over and frames are missing.
  Status End(const std::string& reason) {
    source_may_grow_ = true;
    Anomaly anomaly;
    anomaly.file = plan_.source_path.string();
    anomaly.frame = plan_.mapping.source_frames;
    anomaly.message =
        fmt::format("the acquisition was not complete when following it ended: {}", reason);
    end_ = std::move(anomaly);
    return Status::Ok();
  }

  bool IsComplete() const {
    return plan_.mapping.MissingAtEnd() == 0 && !plan_.source->description().growing;
  }

  // Takes note of frames and files that have come. What comes while it looks is seen as a change
  // the next time: nothing is taken note of without having been looked at.
  void LookAgain() {
    const auto frames = plan_.source->Refresh();
    if (!frames.ok()) {
      // A file that has only just been begun; or the acquisition is not what it was.
      unreadable_ = "; " + frames.error().ToString();
      return;
    }
    unreadable_.clear();
    const std::vector<SourceFile>& files = plan_.source->description().files;
    digests_.Grow(files);
    watch_.SetFiles(files);
    auto plan = PlanIngest(plan_.source, plan_.source_path, plan_.options);
    if (plan.ok()) plan->grid = GridFor(plan->shape, plan->grid, compression());
    if (!plan.ok()) {
      broken_ = plan.error().ToString();
    } else if (!(plan->shape == plan_.shape) || !(plan->grid == plan_.grid) ||
               plan->mapping.first_source_frame != plan_.mapping.first_source_frame ||
               plan->mapping.extra_frames_per_row != plan_.mapping.extra_frames_per_row) {
      broken_ = fmt::format("its files now say another scan: {}",
                            plan->shape_candidates.front().evidence);
    } else {
      plan->destination = plan_.destination;
      plan_ = *std::move(plan);
    }
  }

  Status IngestDue() {
    const int64_t reached = Reached();
    std::vector<int64_t> due;
    for (int64_t block = 0; block < plan_.grid.block_count(); ++block) {
      const BlockRegion region = RegionOfBlock(plan_.shape, plan_.grid, block);
      if (region.first_frame + region.frame_count() > reached) break;
      if (!done_[static_cast<size_t>(block)]) due.push_back(block);
    }
    if (due.empty()) return Status::Ok();
    if (!preview_prepared()) PENSTOCK_RETURN_IF_ERROR(PreparePreview());
    return IngestBlocks(due);
  }

  // The rest, which an interrupted acquisition has not filled, and publication.
  Status Seal() {
    if (!preview_prepared()) PENSTOCK_RETURN_IF_ERROR(PreparePreview());
    std::vector<int64_t> rest;
    for (int64_t block = 0; block < plan_.grid.block_count(); ++block) {
      if (!done_[static_cast<size_t>(block)]) rest.push_back(block);
    }
    // With holes: a later run may find their frames.
    for (const int64_t block : rest) finished_.erase(block);
    journals_blocks_ = false;
    PENSTOCK_RETURN_IF_ERROR(IngestBlocks(rest));
    for (int attempt = 1;; ++attempt) {
      auto digests = TakeDigests();
      if (digests.ok()) {
        if (end_) plan_.anomalies.push_back(*end_);
        return DescribeAndPublish(*digests);
      }
      if (digests.error().kind() != ErrorKind::kCorrupt || attempt == kMostAttempts) {
        return std::move(digests).error();
      }
      // Something was added behind the last frame of the scan.
      if (!Pause(PauseOf(follow_), follow_stop_)) source_may_grow_ = true;
      watch_.Changed();
      LookAgain();
      if (!broken_.empty()) PENSTOCK_RETURN_IF_ERROR(End(std::exchange(broken_, {})));
    }
  }

  Status AfterBlock(int64_t block) override {
    const std::lock_guard lock(view_mutex_);
    done_[static_cast<size_t>(block)] = true;
    if (!journals_blocks_) return Status::Ok();  // the whole is about to take the view's place
    return view_.Add(block, Describe(plan_, EmptyDigests(), AnomalyList(1), {}), GrowingContents());
  }

  std::vector<SourceDigest> EmptyDigests() const {
    return std::vector<SourceDigest>(plan_.source->description().files.size());
  }

  // Every frame of a block that is not there yet is invalid.
  DatasetContents GrowingContents() const {
    DatasetContents contents;
    contents.growing = true;
    contents.compression = compression();
    contents.image_key.assign(static_cast<size_t>(plan_.shape.frame_count()), kInvalidFrame);
    for (int64_t block = 0; block < plan_.grid.block_count(); ++block) {
      const auto index = static_cast<size_t>(block);
      BlockRecord& record = contents.blocks.emplace_back();
      if (!done_[index]) {
        record.block = block;
        record.bytes = compression() == Compression::kNone
                           ? BlockLayout::Of(plan_.shape, plan_.grid, block).file_bytes
                           : LargestCompressedBlock(plan_.shape, plan_.grid, block);
        continue;
      }
      record = outcomes_[index].record;
      const BlockRegion region = RegionOfBlock(plan_.shape, plan_.grid, block);
      for (int64_t i = 0; i < region.frame_count(); ++i) {
        const int64_t position = region.first_frame + i;
        if (plan_.mapping.SourceFrame(position) >= 0) {
          contents.image_key[static_cast<size_t>(position)] = 0;
        }
      }
      for (const int64_t position : outcomes_[index].invalid_frames) {
        contents.image_key[static_cast<size_t>(position)] = kInvalidFrame;
      }
    }
    return contents;
  }

  const FollowOptions follow_;
  const std::stop_token follow_stop_;
  Watch watch_;
  std::string broken_;          // why following cannot go on
  std::string unreadable_;      // why the last look gave nothing
  std::optional<Anomaly> end_;  // where it ended before it was complete
  std::mutex view_mutex_;       // guards what follows while workers run
  GrowingView view_;
  bool view_published_ = false;
  std::vector<bool> done_;  // by block
};

}  // namespace

Result<IngestPlan> PlanFollow(const std::filesystem::path& source_path,
                              const IngestOptions& options, const FollowOptions& follow,
                              const std::stop_token& stop) {
  if (options.replace) {
    return Error::InvalidArgument("a dataset that is followed cannot replace another one")
        .In(source_path.string())
        .Advice("choose another name");
  }
  if (options.missing == MissingPolicy::kSkip) {
    return Error::InvalidArgument("following keeps the shape of the scan")
        .In(source_path.string())
        .Expected("--missing=zero, which --follow implies, or --missing=nan")
        .Found("--missing=skip");
  }
  const IngestOptions following = FollowingOptions(options);
  Watch watch(source_path);
  watch.Changed();
  const auto began = Clock::now();
  auto last_change = began;
  for (;;) {
    auto plan = PlanIngest(source_path, following);
    Status known;
    if (plan.ok()) {
      PENSTOCK_RETURN_IF_ERROR(RefuseWhatCannotGrow(*plan));
      known = RefuseUnknownScan(*plan);
    }
    if (plan.ok() && known.ok()) return plan;
    const auto now = Clock::now();
    const auto grace = std::min<std::chrono::milliseconds>(follow.quiet, kHeaderGrace);
    if (plan.ok()) {
      if (now - began >= grace) return std::move(known).error();
    } else if (MayPass(plan.error(), options)) {
      if (now - last_change >= follow.quiet) return plan;
    } else if (plan.error().kind() == ErrorKind::kInvalidArgument || now - began >= grace) {
      return plan;
    }
    if (!Pause(PauseOf(follow), stop)) {
      return Error::Cancelled("stopped before the first frame").In(source_path.string());
    }
    if (watch.Changed()) last_change = Clock::now();
  }
}

Result<IngestResult> FollowIngest(const IngestPlan& plan, const FollowOptions& follow,
                                  ProgressSink& progress, std::stop_token stop) {
  FollowRun run(plan, follow, progress, std::move(stop));
  return run.Run();
}

}  // namespace penstock::ingest
