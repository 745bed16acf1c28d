#include "reader/device/pass_devices.h"

#include <algorithm>
#include <new>
#include <utility>

namespace penstock {

PassDevices PassDevices::Make(const PassPlan& plan, std::span<Reduction* const> reductions,
                              const PassOptions& options) {
  PassDevices devices;
  if (options.device == nullptr || plan.partition_count == 0) return devices;
  if (!options.view.is_plain()) {
    devices.note_ = "frames are seen through a view, which only processors do";
    return devices;
  }
  const auto wanted =
      std::clamp<int64_t>(plan.partition_count, 1, std::clamp(options.device_workers, 1, 64));
  while (static_cast<int64_t>(devices.workers_.size()) < wanted) {
    auto worker = DeviceWorker::Make(*options.device, plan, reductions, options.device_batch_bytes);
    if (!worker.ok()) {
      devices.note_ = "the device can't take part: " + worker.error().ToString();
      break;  // fewer workers do it, too
    }
    if (*worker == nullptr) {
      devices.note_ = "not all operations of this pass have a form for devices";
      break;
    }
    devices.alone_ = !(*worker)->is_exact() && !options.fast_order;
    devices.workers_.push_back(std::move(*worker));
  }
  return devices;
}

int PassDevices::ThreadsBeside(int processors) const {
  const auto workers = static_cast<int>(workers_.size());
  return alone_ ? workers : workers + processors;
}

std::unique_ptr<DeviceWorker> PassDevices::Take(int thread) {
  const auto place = static_cast<size_t>(thread);
  return place < workers_.size() ? std::move(workers_[place]) : nullptr;
}

}  // namespace penstock
