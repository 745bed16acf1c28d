// FrameTotals: a few sums for every frame of a partition, on a device and then on the host.

#ifndef PENSTOCK_READER_DEVICE_FRAME_TOTALS_H_
#define PENSTOCK_READER_DEVICE_FRAME_TOTALS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "reader/device/device_form.h"

namespace penstock {

// What came back: [frame][sum], and which frames of the partition were seen and are valid.
struct FetchedTotals {
  std::variant<std::span<const int64_t>, std::span<const double>> values;
  std::span<const uint8_t> valid;
};

// Each sum is a run of partial sums that a kernel leaves, added up in their order.
class FrameTotals {
 public:
  // Sum r of a frame: partials first[r] to first[r + 1] - 1 of `partial_count`.
  static Result<FrameTotals> Make(const DeviceContext& context, bool integer,
                                  const std::vector<int64_t>& first, int64_t partial_count);

  std::byte* partials() const { return partials_.get(); }  // of one batch
  Status Begin(DeviceStream& stream, const Partition& partition);
  // After the kernel that leaves the partial sums.
  Status Add(DeviceStream& stream, const StagedBatch& batch);
  Status Fetch(DeviceStream& stream) { return totals_.Fetch(stream); }
  FetchedTotals Get() const;

 private:
  bool integer_ = true;
  int64_t partial_count_ = 0;
  int64_t runs_ = 0;
  DeviceMemory first_;
  DeviceMemory partials_;
  FetchedMemory totals_;
  int64_t first_frame_ = 0;
  std::vector<uint8_t> valid_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_FRAME_TOTALS_H_
