// PartitionTasks: who takes which partition of a pass, and what becomes of its results.
//
// Workers take partitions, collect what the reductions make of them in states of their own, and
// hand them back; they are merged one at a time: in order, or, where that makes no difference, as
// they come.

#ifndef PENSTOCK_READER_PARTITION_TASKS_H_
#define PENSTOCK_READER_PARTITION_TASKS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "reader/io/partition_reader.h"
#include "reader/partition_order.h"
#include "reader/partition_plan.h"
#include "reader/pass_input.h"

namespace penstock {

using ReductionStates = std::vector<std::unique_ptr<Reduction::State>>;  // one per reduction

// A partition that a worker has taken.
struct PartitionTask {
  size_t index = 0;
  ReductionStates states;
  // Nobody else verifies the extent in which the partition begins.
  bool alone = false;
  // Merged after its predecessor only: in order, or because that one verifies the first extent.
  bool follows = false;
  bool on_device = false;
};

// Thread-safe, but for the constructor, Begin and End.
class PartitionTasks {
 public:
  // What is given must outlive the tasks.
  PartitionTasks(const PassInput& input, std::span<const PlannedPartition> partitions,
                 std::span<Reduction* const> reductions, const PassOptions& options);

  // After Begin of the reductions; makes the states. May throw std::bad_alloc.
  void Begin(int workers);

  // The next partition; nothing: the worker is done. Waits for states, where others are about to
  // hand theirs back. `idle`: a reader of the calling worker that may be asked where partitions
  // are.
  std::optional<PartitionTask> Take(PartitionReader& idle);
  // For a worker that has one already, and reads ahead. Nothing where it would have to wait.
  std::optional<PartitionTask> TakeAnother(PartitionReader& idle);
  // Whether one that was taken ahead may still be begun: no, once the pass ends or is late.
  bool MayBegin();

  // What `frames` have read of it and the states hold is final.
  void Deliver(PartitionTask task, const PartitionReader& frames, int64_t extents_verified);

  // Ends the pass. The first one counts.
  void Fail(Error error);
  void NoteDevice(std::string note);

  // One per frame of the scan: 1 where it is valid and wanted. During the pass a frame's entry is
  // that of the worker that has its partition.
  std::vector<uint8_t>& valid() { return valid_; }

  // After all workers.
  Result<PassSummary> End();

 private:
  std::optional<PartitionTask> TakeWith(ReductionStates states, PartitionReader& idle,
                                        std::unique_lock<std::mutex>& lock);
  PartitionTask MakeTask(size_t index, ReductionStates states);
  bool MustStop();
  bool MayBeMerged(const PartitionTask& task) const;
  void Merge(size_t index, ReductionStates states);

  const PassInput& input_;
  const std::span<const PlannedPartition> partitions_;
  const std::span<Reduction* const> reductions_;
  const PassOptions& options_;
  bool any_order_ = false;  // constant since Begin
  std::optional<PartitionOrder> order_;
  int64_t frames_wanted_ = 0;
  std::vector<uint8_t> valid_;

  std::mutex mutex_;  // everything below
  std::condition_variable changed_;
  bool all_taken_ = false;
  bool late_ = false;  // the deadline has passed
  enum class Phase : uint8_t { kWaiting, kTaken, kMerged };
  std::vector<Phase> phases_;  // per partition
  int64_t merged_ = 0;
  std::vector<ReductionStates> free_states_;
  std::map<size_t, PartitionTask> finished_;
  std::vector<uint8_t> done_;
  std::optional<Error> failure_;
  PassSummary summary_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_PARTITION_TASKS_H_
