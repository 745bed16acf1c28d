// One pass over a dataset, or over the frames of a provider: partitions to workers, tiles to
// reductions, merges in order.

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "penstock/reader/frame_provider.h"
#include "penstock/reader/reader.h"
#include "reader/device/pass_devices.h"
#include "reader/io/frame_reader.h"
#include "reader/io/packed_frames.h"
#include "reader/io/provided_frames.h"
#include "reader/io/reader_pair.h"
#include "reader/numa.h"
#include "reader/partition_plan.h"
#include "reader/partition_tasks.h"
#include "reader/pass_input.h"
#include "reader/reader_state.h"
#include "reader/view/frame_viewer.h"

namespace penstock {

namespace {

// Frames that nobody wants are read along where they are fewer than one request brings.
constexpr int64_t kBridgedBytes = int64_t{1} << 20;

int UsableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
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
        plan_(MakePlan(input, input.shape, options, reductions.size())),
        seen_plan_(
            MakePlan(input, view_ ? view_->seen() : input.shape, options, reductions.size())),
        partitions_(PlanPartitions(
            input.blocks, plan_.partition_frames, input.partition_ends, options.selection,
            kBridgedBytes / static_cast<int64_t>(input.shape.frame_bytes()))),
        tasks_(input, partitions_, reductions, options) {
    plan_.partition_frames += input.partition_ends.most_before;
    plan_.partition_count = static_cast<int64_t>(partitions_.size());
    plan_.good_pixels = input.good_pixels;
    plan_.pixel_order = input.pixel_order;
    plan_.packed_run = input.packed_run;
    seen_plan_.partition_frames = plan_.partition_frames;
    seen_plan_.partition_count = plan_.partition_count;
    if (view_) seen_plan_.good_pixels = view_->good_pixels();
    for (size_t i = 0; i < reductions.size(); ++i) {
      const bool folds = view_ == nullptr || reductions[i]->FoldsView(*view_);
      TileUsers& users = folds ? of_stored_ : of_seen_;
      const bool whole = reductions[i]->WantsWholeFrames(PlanFor(folds, false));
      (whole ? users.of_frames : users.of_parts).push_back(i);
    }
  }

  Result<PassSummary> Run() {
    const auto start = std::chrono::steady_clock::now();
    const int wanted = options_.threads > 0 ? options_.threads : UsableProcessors();
    threads_ =
        static_cast<int>(std::clamp<int64_t>(plan_.partition_count, 1, std::min(wanted, 1024)));
    PENSTOCK_RETURN_IF_ERROR(Prepare());
    if (options_.bind_to_nodes) ChooseNodes();
    {
      std::vector<std::jthread> workers;
      for (int i = 1; i < threads_; ++i) {
        workers.emplace_back([this, i] { BindAndWork(i); });
      }
      BindAndWork(0);
    }
    PENSTOCK_ASSIGN_OR_RETURN(PassSummary summary, tasks_.End());
    summary.threads = threads_;
    summary.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return summary;
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
      devices_ = PassDevices::Make(plan_, reductions_, options_);
      tasks_.NoteDevice(devices_.note());
      threads_ = devices_.ThreadsBeside(threads_);
      tasks_.Begin(threads_);
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
      plan.tile_pixels = TilePixelsOfWholeFrame(stored ? input_.shape : seen_plan_.shape);
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
    const int64_t pixels = of_seen_.of_frames.empty() ? seen_plan_.tile_pixels
                                                      : TilePixelsOfWholeFrame(seen_plan_.shape);
    tiles.pixels.resize(static_cast<size_t>(seen_plan_.tile_frames * pixels) *
                        ElementSize(seen_plan_.shape.element_type));
    return tiles;
  }

  void ChooseNodes() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    nodes_ = UsableNodes(allowed);
    node_of_worker_ = SpreadOverNodes(nodes_, threads_);
  }

  void BindAndWork(int thread) {
    std::optional<NodeBinding> binding;
    if (!node_of_worker_.empty()) {
      binding.emplace(nodes_[node_of_worker_[static_cast<size_t>(thread)]]);
    }
    Work(thread);
  }

  struct Worker {
    ReaderPair readers;
    SeenTiles seen;
    std::unique_ptr<DeviceWorker> device;  // null: the thread itself works
    std::optional<PartitionTask> next;  // taken while the last reads of one before were under way
  };

  // The first threads are those of the device.
  void Work(int thread) {
    std::unique_ptr<DeviceWorker> device = devices_.Take(thread);
    const bool whole = device != nullptr || !of_seen_.empty() || !of_stored_.of_frames.empty();
    Worker worker{.readers = ReaderPair([this, whole] { return input_.make_reader(plan_, whole); }),
                  .seen = MakeSeenTiles(),
                  .device = std::move(device),
                  .next = std::nullopt};
    int64_t verified = 0;
    while (auto task = NextTask(worker)) {
      task->on_device = worker.device != nullptr;
      Status status = Process(worker, *task);
      if (worker.device && worker.device->failure()) {
        tasks_.NoteDevice("the device failed, the processors went on: " +
                          worker.device->failure()->ToString());
        worker.device.reset();
        task->on_device = false;
        status = Process(worker, *task);
      }
      if (!status.ok()) return tasks_.Fail(status.error());
      const int64_t before = std::exchange(verified, worker.readers.extents_verified());
      tasks_.Deliver(*std::move(task), worker.readers.current(), verified - before);
    }
  }

  std::optional<PartitionTask> NextTask(Worker& worker) {
    if (!worker.next) return tasks_.Take(worker.readers.current());
    if (!tasks_.MayBegin()) return std::nullopt;
    return std::exchange(worker.next, std::nullopt);
  }

  Status Process(Worker& worker, const PartitionTask& task) {
    const PlannedPartition& planned = partitions_[task.index];
    const Partition& partition = planned.partition;
    for (size_t i = 0; i < reductions_.size(); ++i) {
      reductions_[i]->BeginPartition(*task.states[i], partition);
    }
    if (!IsRead(partition)) return Status::Ok();
    if (worker.device) PENSTOCK_RETURN_IF_ERROR(worker.device->Begin(partition));
    for (size_t range = 0; range < planned.runs.size(); ++range) {
      PENSTOCK_RETURN_IF_ERROR(ProcessRange(worker, task, range));
    }
    return worker.device ? worker.device->Finish(task.states) : Status::Ok();
  }

  Status ProcessRange(Worker& worker, const PartitionTask& task, size_t range) {
    PENSTOCK_RETURN_IF_ERROR(worker.readers.Begin(RangeOf(task, range), task.alone));
    bool went_ahead = false;
    while (true) {
      PENSTOCK_ASSIGN_OR_RETURN(const FrameRun run, worker.readers.current().Next());
      if (run.frame_count == 0) return Status::Ok();
      if (!went_ahead && worker.readers.current().HasAskedForAll()) {
        went_ahead = true;
        GoAhead(worker, task, range + 1);
      }
      // The entries of a partition's frames are those of the worker that has it.
      for (int64_t i = 0; run.valid != nullptr && i < run.frame_count; ++i) {
        if (run.valid[i] == 0) tasks_.valid()[static_cast<size_t>(run.first_frame + i)] = 0;
      }
      PENSTOCK_RETURN_IF_ERROR(worker.device ? GiveTo(*worker.device, run)
                                             : ProcessRun(run, task.states, worker.seen));
    }
  }

  // Begins with what comes next: the `range` of the partition, or the first one of another.
  void GoAhead(Worker& worker, const PartitionTask& task, size_t range) {
    if (range < partitions_[task.index].runs.size()) {
      return worker.readers.BeginAhead(RangeOf(task, range), task.alone);
    }
    // Several workers keep the disk busy by their number, and with fewer buffers.
    if (threads_ > 1) return;
    if (!worker.next) worker.next = tasks_.TakeAnother(worker.readers.other());
    if (worker.next && IsRead(partitions_[worker.next->index].partition)) {
      worker.readers.BeginAhead(RangeOf(*worker.next, 0), worker.next->alone);
    }
  }

  Partition RangeOf(const PartitionTask& task, size_t range) const {
    const PlannedPartition& planned = partitions_[task.index];
    return {planned.partition.index, planned.partition.block, planned.runs[range]};
  }

  // Not a block that a growing dataset has not got yet: none of its frames is valid. That it may
  // have come since makes no difference to what was promised by image_key.
  bool IsRead(const Partition& partition) {
    return !input_.may_be_absent(partition.block) || AnyValid(partition);
  }

  Status GiveTo(DeviceWorker& device, const FrameRun& run) {
    if (options_.stop.stop_requested()) {
      return Error::Cancelled("the pass was stopped").In(input_.name);
    }
    return device.Add(run, tasks_.valid().data());
  }

  bool AnyValid(const Partition& partition) {
    const std::span<const uint8_t> valid = tasks_.valid();
    const auto frames =
        valid.subspan(static_cast<size_t>(partition.frames.first),
                      static_cast<size_t>(partition.frames.last - partition.frames.first));
    return std::ranges::find(frames, 1) != frames.end();
  }

  Status ProcessPacked(const FrameRun& run, const ReductionStates& states) {
    if (options_.stop.stop_requested()) {
      return Error::Cancelled("the pass was stopped").In(input_.name);
    }
    const PackedTile tile = {.frames = run.packed,
                             .first_frame = run.first_frame,
                             .frame_count = run.frame_count,
                             .first_run = run.first_run,
                             .run_count = run.run_count,
                             .valid = tasks_.valid().data() + run.first_frame};
    for (size_t i = 0; i < reductions_.size(); ++i) reductions_[i]->ProcessPacked(*states[i], tile);
    return Status::Ok();
  }

  Status ProcessRun(const FrameRun& run, const ReductionStates& states, SeenTiles& seen) {
    if (run.packed != nullptr) return ProcessPacked(run, states);
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
      tile.valid = tasks_.valid().data() + tile.first_frame;
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
  void ProcessSeen(const Tile& tile, const std::byte* stored, const ReductionStates& states,
                   SeenTiles& seen) {
    const int64_t whole = TilePixelsOfWholeFrame(seen_plan_.shape);
    ProcessSeenTiles(tile, stored, states, seen, of_seen_.of_parts, seen_plan_.tile_pixels);
    ProcessSeenTiles(tile, stored, states, seen, of_seen_.of_frames, whole);
  }

  void ProcessSeenTiles(Tile tile, const std::byte* stored, const ReductionStates& states,
                        SeenTiles& seen, const std::vector<size_t>& users, int64_t tile_pixels) {
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
  PartitionTasks tasks_;
  int threads_ = 0;
  PassDevices devices_;
  std::vector<NumaNode> nodes_;
  std::vector<size_t> node_of_worker_;  // empty: they go where they are put
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
  if (!options.device && options.view.is_plain() &&
      std::ranges::all_of(reductions,
                          [](const Reduction* each) { return each->TakesPixelOrder(); })) {
    input.pixel_order = provider.pixel_order();
  }
  if (input.pixel_order != nullptr && provider.packed_run() > 0 &&
      std::ranges::all_of(reductions,
                          [](const Reduction* each) { return each->TakesPackedPixels(); })) {
    input.packed_run = provider.packed_run();
    input.tile_frames = PackedFrames::kGroupFrames;
    // Sums of whole numbers are the same wherever partitions end, and those of few frames are slow.
    input.blocks = {{0, input.shape.frame_count()}};
  }
  input.may_be_absent = [](int64_t /*block*/) { return true; };
  input.make_reader = [&provider](const PassPlan& plan,
                                  bool whole) -> std::unique_ptr<PartitionReader> {
    if (plan.packed_run > 0) return std::make_unique<PackedFrames>(provider, plan);
    return std::make_unique<ProvidedFrames>(provider, plan, whole);
  };
  return RunChecked(input, reductions, options);
}

}  // namespace penstock
