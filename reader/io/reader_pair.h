// ReaderPair: the readers of one worker. While it works on the last of what one of them brings, the
// other one has the next reads under way: the disk never waits for the worker.
//
// Not thread-safe.

#ifndef PENSTOCK_READER_IO_READER_PAIR_H_
#define PENSTOCK_READER_IO_READER_PAIR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "penstock/base/result.h"
#include "penstock/reader/reduction.h"
#include "reader/io/partition_reader.h"

namespace penstock {

class ReaderPair {
 public:
  explicit ReaderPair(std::function<std::unique_ptr<PartitionReader>()> make)
      : make_(std::move(make)), current_(make_()) {}

  // The one that began last with something that is wanted.
  PartitionReader& current() { return *current_; }
  // The one to ask while the current one reads.
  PartitionReader& other() {
    if (other_ == nullptr) other_ = make_();
    return *other_;
  }

  // As PartitionReader::Start, with the current reader, which is another one where this was begun
  // ahead.
  Status Begin(const Partition& partition, bool alone) {
    if (ahead_ && ahead_->frames.first == partition.frames.first) {
      ahead_.reset();
      std::swap(current_, other_);
      return std::move(ahead_status_);
    }
    return current_->Start(partition, alone);
  }
  // What keeps it from beginning is said by Begin.
  void BeginAhead(const Partition& partition, bool alone) {
    ahead_ = partition;
    ahead_status_ = other().Start(partition, alone);
  }

  int64_t extents_verified() const {
    return current_->extents_verified() + (other_ ? other_->extents_verified() : 0);
  }

 private:
  const std::function<std::unique_ptr<PartitionReader>()> make_;
  std::unique_ptr<PartitionReader> current_;
  std::unique_ptr<PartitionReader> other_;  // null until it is of use
  std::optional<Partition> ahead_;          // what other_ has begun with
  Status ahead_status_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_READER_PAIR_H_
