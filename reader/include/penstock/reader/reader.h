// Reader: a dataset opened for processing, from a directory or from a path on a penstock mount.
//
// On a mount, blocks that are complete in the local cache are read through descriptors that the
// cache daemon hands out (dataset/lease_protocol.h); where it doesn't, the path is used, without a
// word. A const Reader may be used from several threads.

#ifndef PENSTOCK_READER_READER_H_
#define PENSTOCK_READER_READER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/reader/device.h"
#include "penstock/reader/frame_view.h"
#include "penstock/reader/reduction.h"

namespace penstock {

enum class Backend : uint8_t {
  kAutomatic,  // per partition: mapped where it is in the page cache, direct otherwise
  kMmap,       // best for what is in memory
  kDirect,     // io_uring with O_DIRECT into huge pages; pread where the kernel has no io_uring
  kPread,      // buffered, copies; for file systems that have neither
};

std::string_view BackendName(Backend backend);
Result<Backend> ParseBackend(std::string_view text);

struct ReadOptions {
  Backend backend = Backend::kAutomatic;
  size_t request_bytes = size_t{1} << 20;  // of one direct read
  int queue_depth = 0;                     // direct reads under way per worker; 0: 4, and up
                                           // to 16 where that brings more
  // Of one buffer at most; at least one frame. A worker has as many as the reads under way need, at
  // least three (5 MiB for frames of up to 128 KiB), and as many again where it reads ahead of what
  // it works on.
  size_t buffer_bytes = size_t{4} << 20;
  bool use_leases = true;
  // Blocks that are in the page cache stay mapped as long as the Reader lives, so that passes after
  // the first are faster, up to three times where the file system caches single pages. The space of
  // a removed block is then free when the Reader is gone. Not of blocks that the cache daemon lent.
  bool keep_mapped = true;
  // Holds every extent of a block against its checksum when it is touched for the first time by
  // this Reader. Without effect on a mount: there the cache daemon does.
  bool verify = true;
  // Leaves out the detector pixels that the dataset's pixel_mask marks (PassPlan::good_pixels).
  bool use_pixel_mask = true;
};

// What was done so far; `done` may be read during the callback only.
struct PassProgress {
  int64_t partitions_done = 0;
  int64_t partition_count = 0;
  int64_t frames_done = 0;  // lost frames included, those left out not
  int64_t frame_count = 0;  // that will be done
  uint64_t bytes_done = 0;
  Partition last;  // the one that was merged now
  // One per frame of the dataset: 1 where results are final (done and valid).
  std::span<const uint8_t> done;
};

struct PassOptions {
  int threads = 0;  // 0: one per processor that this process may use
  // Of one tile. 0: 1 MiB for a single reduction, which frames cut into fewer tiles suit better,
  // half of it where several pass over the tile while it is in the L2 cache.
  size_t tile_bytes = 0;
  int64_t tile_frames = 0;  // 0: chosen from the size of a frame
  // Frames of one partition, rounded to whole tiles. Results of float data depend on it and on the
  // tiles (in the last digits), on nothing else here.
  size_t partition_bytes = size_t{64} << 20;
  // One per frame in scan order, 0: leave it out (penstock/reader/region.h); empty: all frames.
  // Blocks and runs of frames that nobody wants are not read.
  std::vector<uint8_t> selection;
  // What the reductions see in place of the stored frames; the results have its shape.
  FrameViewOptions view = {};
  // On machines with several memory nodes each worker, with its buffers, stays on one of them.
  bool bind_to_nodes = true;
  // Merge partitions as they are done also where the last digits of float results then differ from
  // run to run.
  bool fast_order = false;
  // Takes partitions beside the processors, where all reductions have a form for it; null: none.
  // Where their results on both are the same bit by bit (integer data with integer weights), or
  // with fast_order, they share the pass, otherwise the device does all of it. What fails there is
  // done by processors.
  std::shared_ptr<Device> device = {};
  int device_workers = 2;                        // threads that read for the device and wait for it
  size_t device_batch_bytes = size_t{32} << 20;  // staged at a time; three times per worker
  std::stop_token stop;
  // No partition is begun after this moment: the reductions then hold a partial result.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  // After each partition, one call at a time, from a worker's thread. Must not throw. In order of
  // the scan, or, where the order makes no difference to the result (Reduction::IsOrderFree), those
  // first that are in memory, then those on the local disk.
  std::function<void(const PassProgress&)> on_partition;
};

// How the bytes were read.
struct PassSummary {
  uint64_t bytes = 0;  // of frames
  int64_t frames = 0;  // that were wanted
  int64_t frames_invalid = 0;
  int64_t partitions = 0;
  int64_t partitions_mapped = 0;
  int64_t partitions_direct = 0;
  int64_t partitions_pread = 0;
  int64_t partitions_leased = 0;  // through a descriptor of the cache daemon
  int64_t partitions_on_device = 0;
  int64_t partitions_decoded = 0;  // of a FrameProvider (penstock/reader/frame_provider.h)
  std::string device_note;         // why the device did not do, or not all, of what it could
  int64_t extents_verified = 0;    // by this pass, of 4 MiB each
  int threads = 0;                 // those for the device included
  bool complete = true;            // false: the deadline came first
  double seconds = 0;
};

class Reader {
 public:
  // Errors of Dataset::Open, and kCorrupt where image_key contradicts the shape.
  static Result<Reader> Open(const std::filesystem::path& path, const ReadOptions& options = {});

  const Dataset& dataset() const;
  const DatasetShape& shape() const { return dataset().shape(); }
  // One per frame in scan order: 0 valid.
  const std::vector<int32_t>& image_key() const;
  // True where the dataset's pixel_mask marks pixels and they are left out.
  bool leaves_out_pixels() const;
  // True where a cache daemon answers for this path.
  bool has_lease_client() const;

  // One pass over all frames for all reductions. Errors name the block file and the offset; after
  // an error or a stop (kCancelled) the reductions hold the partial result of the last callback.
  // kInvalidArgument for a selection of another size than the scan; errors of FrameView::Create.
  Result<PassSummary> Run(std::span<Reduction* const> reductions,
                          const PassOptions& options = {}) const;

  // The pixels of one frame, C order, little-endian. kInvalidArgument outside of the scan; frames
  // that image_key marks are kNotFound, those in an extent with a wrong checksum kCorrupt.
  Result<std::vector<std::byte>> ReadFrame(int64_t frame) const;

 private:
  struct State;
  explicit Reader(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_READER_H_
