// One pass over a dataset, or over the frames of a provider: partitions to workers, tiles to
// reductions, merges in order.

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "penstock/reader/frame_provider.h"
#include "penstock/reader/reader.h"
#include "reader/device/pass_devices.h"
#include "reader/io/frame_reader.h"
#include "reader/io/provided_frames.h"
#include "reader/numa.h"
#include "reader/partition_order.h"
#include "reader/partition_plan.h"
#include "reader/reader_state.h"
#include "reader/view/frame_viewer.h"

namespace penstock {

namespace {

using States = std::vector<std::unique_ptr<Reduction::State>>;  // one per reduction

constexpr int64_t kTilePixelUnit = 256;
constexpr int64_t kMaximumTileFrames = 4096;
// Few frames with long runs of pixels are read fastest. A stack of masks for large frames does not
// fit the L2 cache, so that more frames have to share each of its tiles.
constexpr int64_t kTileFrames = 8;
constexpr int64_t kTileFramesOfLargeFrames = 32;
constexpr int64_t kLargeFrame = int64_t{2} << 20;
// States beyond one per worker, so that a fast worker need not wait for a slow one to merge.
constexpr int kSpareStates = 2;
// Frames that nobody wants are read along where they are fewer than one request brings.
constexpr int64_t kBridgedBytes = int64_t{1} << 20;

int UsableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
}

// What a pass goes over.
struct PassInput {
  DatasetShape shape;
  std::string name{};                // for errors
  std::vector<FrameRange> blocks{};  // that no partition reaches beyond
  std::span<const int32_t> image_key{};
  std::shared_ptr<const std::vector<uint8_t>> good_pixels{};
  bool nearest_first = false;  // where the order makes no difference
  // What suits whoever gives the frames; 0: any.
  int64_t tile_frames = 0;
  int64_t tile_pixels = 0;
  int64_t pixel_unit = 0;
  PartitionEnds partition_ends{};
  // Whether the block may not be there: then nothing of it is read where no frame is valid.
  std::function<bool(int64_t block)> may_be_absent{};
  // `whole`: somebody wants whole frames.
  std::function<std::unique_ptr<PartitionReader>(const PassPlan&, bool whole)> make_reader{};
};

// As many pixels as a tile of whole frames has, rounded up as PassPlan::tile_pixels is.
int64_t WholeFrame(const DatasetShape& shape) {
  const int64_t pixels = shape.signal.pixel_count();
  return (pixels + kTilePixelUnit - 1) / kTilePixelUnit * kTilePixelUnit;
}

// The input decides how many frames go together, `shape` how many pixels.
PassPlan MakePlan(const PassInput& input, const DatasetShape& shape, const PassOptions& options) {
  PassPlan plan;
  plan.shape = shape;
  const auto tile_bytes = static_cast<int64_t>(std::max<size_t>(options.tile_bytes, 4096));
  const auto frame_bytes = static_cast<int64_t>(input.shape.frame_bytes());
  const auto element_bytes = static_cast<int64_t>(ElementSize(shape.element_type));
  const int64_t wanted = options.tile_frames > 0     ? options.tile_frames
                         : input.tile_frames > 0     ? input.tile_frames
                         : frame_bytes < kLargeFrame ? kTileFrames
                                                     : kTileFramesOfLargeFrames;
  plan.tile_frames =
      std::clamp(std::max(wanted, tile_bytes / frame_bytes), int64_t{1}, kMaximumTileFrames);
  int64_t pixels = tile_bytes / plan.tile_frames / element_bytes;
  if (input.tile_pixels > 0) pixels = std::min(pixels, input.tile_pixels);
  const int64_t unit = std::lcm(kTilePixelUnit, std::max<int64_t>(input.pixel_unit, 1));
  plan.tile_pixels = std::max(pixels / unit, int64_t{1}) * unit;
  if (plan.tile_pixels >= shape.signal.pixel_count()) plan.tile_pixels = WholeFrame(shape);
  const int64_t frames = static_cast<int64_t>(options.partition_bytes) / frame_bytes;
  plan.partition_frames = std::max(frames / plan.tile_frames, int64_t{1}) * plan.tile_frames;
  return plan;
}

class Pass {
 public:
  // `view`: null where frames are seen as they are stored.
  Pass(const PassInput& input, std::shared_ptr<const FrameView> view,
       std::span<Reduction* const> reductions, const PassOptions& options)
      : input_(input),
        view_(std::move(view)),
        reductions_(reductions),
        options_(options),
        plan_(MakePlan(input, input.shape, options)),
        seen_plan_(MakePlan(input, view_ ? view_->seen() : input.shape, options)),
        partitions_(PlanPartitions(
            input.blocks, plan_.partition_frames, input.partition_ends, options.selection,
            kBridgedBytes / static_cast<int64_t>(input.shape.frame_bytes()))) {
    plan_.partition_frames += input.partition_ends.most_before;
    plan_.partition_count = static_cast<int64_t>(partitions_.size());
    plan_.good_pixels = input.good_pixels;
    seen_plan_.partition_frames = plan_.partition_frames;
    seen_plan_.partition_count = plan_.partition_count;
    if (view_) seen_plan_.good_pixels = view_->good_pixels();
    for (size_t i = 0; i < reductions.size(); ++i) {
      const bool folds = view_ == nullptr || reductions[i]->FoldsView(*view_);
      TileUsers& users = folds ? of_stored_ : of_seen_;
      const bool whole = reductions[i]->WantsWholeFrames(PlanFor(folds, false));
      (whole ? users.of_frames : users.of_parts).push_back(i);
    }
    valid_.reserve(input.image_key.size());
    for (const int32_t key : input.image_key) valid_.push_back(key == 0 ? 1 : 0);
    for (size_t frame = 0; frame < options.selection.size(); ++frame) {
      if (options.selection[frame] == 0) valid_[frame] = 0;
    }
    for (const PlannedPartition& planned : partitions_) frames_wanted_ += planned.selected;
  }

  Result<PassSummary> Run() {
    const auto start = std::chrono::steady_clock::now();
    const int wanted = options_.threads > 0 ? options_.threads : UsableProcessors();
    summary_.threads =
        static_cast<int>(std::clamp<int64_t>(plan_.partition_count, 1, std::min(wanted, 1024)));
    PENSTOCK_RETURN_IF_ERROR(Prepare());
    if (options_.bind_to_nodes) ChooseNodes();
    {
      std::vector<std::jthread> workers;
      for (int i = 1; i < summary_.threads; ++i) {
        workers.emplace_back([this, i] { BindAndWork(i); });
      }
      BindAndWork(0);
    }
    if (failure_) return *std::move(failure_);
    summary_.complete = merged_ == plan_.partition_count;
    summary_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return summary_;
  }

 private:
  Status Prepare() {
    try {
      for (const bool stored : {true, false}) {
        const TileUsers& users = stored ? of_stored_ : of_seen_;
        for (const bool whole : {false, true}) {
          const PassPlan plan = PlanFor(stored, whole);
          for (const size_t i : whole ? users.of_frames : users.of_parts) {
            PENSTOCK_RETURN_IF_ERROR(reductions_[i]->Begin(plan));
          }
        }
      }
      any_order_ = options_.fast_order || std::ranges::all_of(reductions_, &Reduction::IsOrderFree);
      order_.emplace(partitions_.size(), any_order_ && input_.nearest_first);
      devices_ = PassDevices::Make(plan_, reductions_, options_);
      summary_.device_note = devices_.note();
      summary_.threads = devices_.ThreadsBeside(summary_.threads);
      for (int i = 0; i < summary_.threads + kSpareStates; ++i) {
        States states;
        for (Reduction* const reduction : reductions_) states.push_back(reduction->MakeState());
        free_states_.push_back(std::move(states));
      }
      done_.assign(valid_.size(), 0);
      phases_.assign(partitions_.size(), Phase::kWaiting);
    } catch (const std::bad_alloc&) {
      return Error::Unsupported("not enough memory for the results of this pass")
          .In(input_.name)
          .Advice("use fewer threads, fewer masks, or a machine with more memory");
    }
    return Status::Ok();
  }

  // Of reductions that take tiles of stored or of seen frames. Those that take stored ones where
  // there is a view give results of the seen frame.
  PassPlan PlanFor(bool stored, bool whole_frames) const {
    PassPlan plan = view_ ? seen_plan_ : plan_;
    if (stored) plan.tile_pixels = plan_.tile_pixels;
    if (whole_frames) {
      plan.tile_pixels = WholeFrame(stored ? input_.shape : seen_plan_.shape);
    }
    if (stored) plan.view = view_;
    return plan;
  }

  // Where one worker puts the tiles of seen frames.
  struct SeenTiles {
    std::unique_ptr<FrameViewer> viewer;
    std::vector<std::byte> pixels;
  };

  SeenTiles MakeSeenTiles() const {
    SeenTiles tiles;
    if (of_seen_.empty()) return tiles;
    tiles.viewer = FrameViewer::Make(*view_);
    const int64_t pixels =
        of_seen_.of_frames.empty() ? seen_plan_.tile_pixels : WholeFrame(seen_plan_.shape);
    tiles.pixels.resize(static_cast<size_t>(seen_plan_.tile_frames * pixels) *
                        ElementSize(seen_plan_.shape.element_type));
    return tiles;
  }

  void ChooseNodes() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    nodes_ = UsableNodes(allowed);
    node_of_worker_ = SpreadOverNodes(nodes_, summary_.threads);
  }

  void BindAndWork(int thread) {
    std::optional<NodeBinding> binding;
    if (!node_of_worker_.empty()) {
      binding.emplace(nodes_[node_of_worker_[static_cast<size_t>(thread)]]);
    }
    Work(thread);
  }

  // The first threads are those of the device.
  void Work(int thread) {
    SeenTiles seen = MakeSeenTiles();
    std::unique_ptr<DeviceWorker> device = devices_.Take(thread);
    int64_t verified = 0;
    const std::unique_ptr<PartitionReader> frames = input_.make_reader(
        plan_, /*whole=*/device != nullptr || !of_seen_.empty() || !of_stored_.of_frames.empty());
    while (auto task = Take(*frames)) {
      task->on_device = device != nullptr;
      Status status = Process(*frames, *task, seen, device.get());
      if (device && device->failure()) {
        LoseDevice(*device->failure());
        device.reset();
        task->on_device = false;
        status = Process(*frames, *task, seen, nullptr);
      }
      if (!status.ok()) return Fail(status.error());
      Deliver(*frames, *std::move(task),
              frames->extents_verified() - std::exchange(verified, frames->extents_verified()));
    }
  }

  // A partition that one worker has taken.
  struct Task {
    size_t index = 0;
    States states;
    // Nobody else verifies the extent in which the partition begins.
    bool alone = false;
    // Merged after its predecessor only: in order, or because that one verifies the first extent.
    bool follows = false;
    bool on_device = false;
  };

  void LoseDevice(const Error& error) {
    const std::lock_guard lock(mutex_);
    summary_.device_note = "the device failed, the processors went on: " + error.ToString();
  }

  // The next partition, together with states to collect it in. In order the states come first:
  // whoever has a partition has states for it, so that the one which is to be merged next always
  // gets there. In any order nobody waits for a turn.
  std::optional<Task> Take(PartitionReader& frames) {
    States states;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock,
                    [this] { return failure_ || all_taken_ || late_ || !free_states_.empty(); });
      if (failure_ || all_taken_ || late_ || MustStop()) return std::nullopt;
      states = std::move(free_states_.back());
      free_states_.pop_back();
      if (!any_order_) {
        if (const auto next = order_->Take(nullptr)) return MakeTask(*next, std::move(states));
        return NothingLeft();
      }
    }
    const auto next =
        order_->Take([&](size_t index) { return frames.LocalityOf(partitions_[index].partition); });
    const std::lock_guard lock(mutex_);
    if (next) return MakeTask(*next, std::move(states));
    return NothingLeft();
  }

  // mutex_ is held.
  Task MakeTask(size_t index, States states) {
    const bool continues =
        index > 0 && partitions_[index].partition.block == partitions_[index - 1].partition.block;
    Task task{.index = index, .states = std::move(states)};
    task.alone = !options_.selection.empty() || !continues || phases_[index - 1] == Phase::kWaiting;
    task.follows = !any_order_ || !task.alone;
    phases_[index] = Phase::kTaken;
    return task;
  }

  // mutex_ is held.
  std::nullopt_t NothingLeft() {
    all_taken_ = true;
    changed_.notify_all();
    return std::nullopt;
  }

  // mutex_ is held.
  bool MustStop() {
    if (options_.stop.stop_requested()) {
      failure_ = Error::Cancelled("the pass was stopped").In(input_.name);
    } else if (options_.deadline && std::chrono::steady_clock::now() >= *options_.deadline) {
      late_ = true;
    } else {
      return false;
    }
    changed_.notify_all();
    return true;
  }

  // `device`: what does it; null: this thread.
  Status Process(PartitionReader& frames, const Task& task, SeenTiles& seen, DeviceWorker* device) {
    const PlannedPartition& planned = partitions_[task.index];
    const Partition& partition = planned.partition;
    const States& states = task.states;
    for (size_t i = 0; i < reductions_.size(); ++i) {
      reductions_[i]->BeginPartition(*states[i], partition);
    }
    // A block that a growing dataset has not got yet: none of its frames is valid. That it may have
    // come since makes no difference to what was promised by image_key.
    if (input_.may_be_absent(partition.block) && !AnyValid(partition)) return Status::Ok();
    if (device) PENSTOCK_RETURN_IF_ERROR(device->Begin(partition));
    for (const FrameRange& range : planned.runs) {
      PENSTOCK_RETURN_IF_ERROR(frames.Start({partition.index, partition.block, range}, task.alone));
      while (true) {
        PENSTOCK_ASSIGN_OR_RETURN(const FrameRun run, frames.Next());
        if (run.frame_count == 0) break;
        // The entries of a partition's frames are those of the worker that has it.
        for (int64_t i = 0; run.valid != nullptr && i < run.frame_count; ++i) {
          if (run.valid[i] == 0) valid_[static_cast<size_t>(run.first_frame + i)] = 0;
        }
        PENSTOCK_RETURN_IF_ERROR(device ? GiveTo(*device, run) : ProcessRun(run, states, seen));
      }
    }
    return device ? device->Finish(states) : Status::Ok();
  }

  Status GiveTo(DeviceWorker& device, const FrameRun& run) {
    if (options_.stop.stop_requested()) {
      return Error::Cancelled("the pass was stopped").In(input_.name);
    }
    return device.Add(run, valid_.data());
  }

  bool AnyValid(const Partition& partition) const {
    const auto first = valid_.begin() + static_cast<ptrdiff_t>(partition.frames.first);
    const auto last = valid_.begin() + static_cast<ptrdiff_t>(partition.frames.last);
    return std::find(first, last, 1) != last;
  }

  Status ProcessRun(const FrameRun& run, const States& states, SeenTiles& seen) {
    const size_t element_bytes = ElementSize(input_.shape.element_type);
    const bool whole = run.pixel_count == 0;
    const int64_t pixels = whole ? input_.shape.signal.pixel_count() : run.pixel_count;
    Tile tile;
    tile.element_type = input_.shape.element_type;
    tile.frame_stride = whole ? static_cast<size_t>(input_.shape.frame_bytes()) : run.frame_stride;
    for (int64_t frame = 0; frame < run.frame_count; frame += plan_.tile_frames) {
      if (options_.stop.stop_requested()) {
        return Error::Cancelled("the pass was stopped").In(input_.name);
      }
      tile.first_frame = run.first_frame + frame;
      tile.frame_count = std::min(plan_.tile_frames, run.frame_count - frame);
      tile.valid = valid_.data() + tile.first_frame;
      const std::byte* const first = run.pixels + static_cast<size_t>(frame) * tile.frame_stride;
      ProcessSeen(tile, first, states, seen);
      const auto process = [&](const std::vector<size_t>& users, int64_t tile_pixels) {
        if (users.empty()) return;
        for (int64_t pixel = 0; pixel < pixels; pixel += tile_pixels) {
          tile.first_pixel = run.first_pixel + pixel;
          tile.pixel_count = std::min(tile_pixels, pixels - pixel);
          tile.pixels = first + static_cast<size_t>(pixel) * element_bytes;
          for (const size_t i : users) reductions_[i]->Process(*states[i], tile);
        }
      };
      process(of_stored_.of_parts, plan_.tile_pixels);
      process(of_stored_.of_frames, pixels);
    }
    return Status::Ok();
  }

  // The frames of a tile, whose stored pixels begin at `stored`, as they are seen.
  void ProcessSeen(const Tile& tile, const std::byte* stored, const States& states,
                   SeenTiles& seen) {
    const int64_t whole = WholeFrame(seen_plan_.shape);
    ProcessSeenTiles(tile, stored, states, seen, of_seen_.of_parts, seen_plan_.tile_pixels);
    ProcessSeenTiles(tile, stored, states, seen, of_seen_.of_frames, whole);
  }

  void ProcessSeenTiles(Tile tile, const std::byte* stored, const States& states, SeenTiles& seen,
                        const std::vector<size_t>& users, int64_t tile_pixels) {
    if (users.empty()) return;
    const size_t frame_bytes = tile.frame_stride;
    const int64_t pixels = seen_plan_.shape.signal.pixel_count();
    tile.element_type = seen_plan_.shape.element_type;
    tile.pixels = seen.pixels.data();
    tile.frame_stride = static_cast<size_t>(tile_pixels) * ElementSize(tile.element_type);
    for (int64_t pixel = 0; pixel < pixels; pixel += tile_pixels) {
      tile.first_pixel = pixel;
      tile.pixel_count = std::min(tile_pixels, pixels - pixel);
      for (int64_t f = 0; f < tile.frame_count; ++f) {
        if (tile.valid[f] == 0) continue;
        const auto at = static_cast<size_t>(f);
        seen.viewer->See(tile.first_frame + f, stored + at * frame_bytes, pixel, tile.pixel_count,
                         seen.pixels.data() + at * tile.frame_stride);
      }
      for (const size_t i : users) reductions_[i]->Process(*states[i], tile);
    }
  }

  void Fail(Error error) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
    changed_.notify_all();
  }

  // Hands a finished partition over; merges it, and those that waited for it, when it is its turn.
  void Deliver(const PartitionReader& frames, Task task, int64_t extents_verified) {
    const std::lock_guard lock(mutex_);
    ++summary_.partitions;
    summary_.extents_verified += extents_verified;
    frames.CountPartition(summary_);
    if (task.on_device) ++summary_.partitions_on_device;
    const size_t index = task.index;
    auto next = finished_.emplace(index, std::move(task)).first;
    while (next != finished_.end() && MayBeMerged(next->second)) {
      const size_t merged = next->first;
      Merge(merged, std::move(next->second.states));
      finished_.erase(next);
      next = finished_.find(merged + 1);
    }
    changed_.notify_all();
  }

  bool MayBeMerged(const Task& task) const {
    return !task.follows || task.index == 0 || phases_[task.index - 1] == Phase::kMerged;
  }

  void Merge(size_t index, States states) {
    const Partition& partition = partitions_[index].partition;
    phases_[index] = Phase::kMerged;
    for (size_t i = 0; i < reductions_.size(); ++i) {
      reductions_[i]->Merge(*states[i], partition);
    }
    free_states_.push_back(std::move(states));
    const auto first = static_cast<ptrdiff_t>(partition.frames.first);
    const int64_t frames = partition.frames.last - partition.frames.first;
    std::copy_n(valid_.begin() + first, frames, done_.begin() + first);
    const auto valid = std::count(done_.begin() + first, done_.begin() + first + frames, 1);
    const int64_t wanted = partitions_[index].selected;
    summary_.frames += wanted;
    summary_.frames_invalid += wanted - valid;
    summary_.bytes += static_cast<uint64_t>(wanted) * input_.shape.frame_bytes();
    ++merged_;
    if (options_.on_partition) {
      options_.on_partition({merged_, plan_.partition_count, summary_.frames, frames_wanted_,
                             summary_.bytes, partition, done_});
    }
  }

  const PassInput& input_;
  const std::shared_ptr<const FrameView> view_;  // null: frames are seen as they are stored
  const std::span<Reduction* const> reductions_;
  const PassOptions& options_;
  PassPlan plan_;       // of stored frames
  PassPlan seen_plan_;  // of seen ones
  // The reductions that take tiles of whole frames, and those that take them in parts.
  struct TileUsers {
    std::vector<size_t> of_parts;
    std::vector<size_t> of_frames;
    bool empty() const { return of_parts.empty() && of_frames.empty(); }
  };
  TileUsers of_stored_;
  TileUsers of_seen_;
  const std::vector<PlannedPartition> partitions_;
  int64_t frames_wanted_ = 0;
  bool any_order_ = false;  // constant once workers run
  std::optional<PartitionOrder> order_;
  PassDevices devices_;
  std::vector<NumaNode> nodes_;
  std::vector<size_t> node_of_worker_;  // empty: they go where they are put
  // Per frame. During the pass a frame's entry is that of the worker that has its partition.
  std::vector<uint8_t> valid_;

  std::mutex mutex_;  // everything below
  std::condition_variable changed_;
  bool all_taken_ = false;
  bool late_ = false;  // the deadline has passed
  enum class Phase : uint8_t { kWaiting, kTaken, kMerged };
  std::vector<Phase> phases_;  // per partition
  int64_t merged_ = 0;
  std::vector<States> free_states_;
  std::map<size_t, Task> finished_;
  std::vector<uint8_t> done_;
  std::optional<Error> failure_;
  PassSummary summary_;
};

Result<PassSummary> RunChecked(const PassInput& input, std::span<Reduction* const> reductions,
                               const PassOptions& options) {
  const auto check = [&](const char* what, size_t entries) -> Status {
    if (entries == static_cast<size_t>(input.shape.frame_count())) return Status::Ok();
    return Error::InvalidArgument(fmt::format("the {} does not fit the scan", what))
        .In(input.name)
        .Expected(fmt::format("{} entries", input.shape.frame_count()))
        .Found(fmt::format("{}", entries));
  };
  PENSTOCK_RETURN_IF_ERROR(check("image_key", input.image_key.size()));
  if (!options.selection.empty()) {
    PENSTOCK_RETURN_IF_ERROR(check("selection of frames", options.selection.size()));
  }
  std::shared_ptr<const FrameView> view;
  if (!options.view.is_plain()) {
    auto made = FrameView::Create(input.shape, options.view, input.good_pixels);
    if (!made.ok()) return Error(made.error()).In(input.name);
    view = *std::move(made);
  }
  Pass pass(input, std::move(view), reductions, options);
  return pass.Run();
}

}  // namespace

Result<PassSummary> Reader::Run(std::span<Reduction* const> reductions,
                                const PassOptions& options) const {
  const std::vector<BlockInfo>& blocks = dataset().blocks();
  PassInput input{.shape = shape(),
                  .name = dataset().directory().string(),
                  .image_key = image_key(),
                  .good_pixels = state_->good_pixels,
                  .nearest_first = state_->options.backend == Backend::kAutomatic};
  input.blocks.reserve(blocks.size());
  for (const BlockInfo& block : blocks) {
    input.blocks.push_back({.first = block.region.first_frame,
                            .last = block.region.first_frame + block.region.frame_count()});
  }
  input.partition_ends = EndWithExtents(dataset(), options.partition_bytes);
  input.may_be_absent = [&blocks](int64_t block) {
    return blocks[static_cast<size_t>(block)].checksum.empty();
  };
  input.make_reader = [this](const PassPlan& plan, bool /*whole*/) {
    return std::make_unique<FrameReader>(dataset(), state_->options, state_->sources(),
                                         plan.tile_frames);
  };
  return RunChecked(input, reductions, options);
}

Result<PassSummary> RunPass(const FrameProvider& provider, std::span<Reduction* const> reductions,
                            const PassOptions& options) {
  PassInput input{.shape = provider.shape(),
                  .name = provider.name(),
                  .blocks = provider.blocks(),
                  .image_key = provider.image_key(),
                  .good_pixels = provider.good_pixels(),
                  .tile_frames = provider.tile_frames(),
                  .tile_pixels = provider.tile_pixels(),
                  .pixel_unit = provider.pixel_unit()};
  input.may_be_absent = [](int64_t /*block*/) { return true; };
  input.make_reader = [&provider](const PassPlan& plan, bool whole) {
    return std::make_unique<ProvidedFrames>(provider, plan, whole);
  };
  return RunChecked(input, reductions, options);
}

}  // namespace penstock
