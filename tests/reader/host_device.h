// A device that is the processor: the kernels of reader/device/kernels in plain C++, and streams
// that are as early or as late as the rules allow. What a kernel or a worker forgets to wait for
// shows as wrong results, what touches a device's memory from outside crashes.

#ifndef PENSTOCK_TESTS_READER_HOST_DEVICE_H_
#define PENSTOCK_TESTS_READER_HOST_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "reader/device/device.h"

namespace penstock::testing_support {

class HostDevice final : public Device {
 public:
  enum class Pace : uint8_t {
    kEager,  // work is done when it is asked for
    kLate,   // ... when somebody waits for it
  };
  explicit HostDevice(Pace pace) : pace_(pace) {}
  ~HostDevice() override;

  // Call number `call` of those that may fail, from 0, fails, and everything after it.
  void FailAt(int64_t call) { fail_at_ = call; }
  int64_t calls() const { return calls_; }
  // Before every kernel, from the thread that waits for it.
  void OnKernel(std::function<void()> hook) { on_kernel_ = std::move(hook); }

  std::string Name() const override { return "the processor as a device"; }
  Result<DeviceMemory> Allocate(size_t bytes) override;
  Result<DeviceMemory> AllocatePinned(size_t bytes) override;
  Result<std::unique_ptr<DeviceStream>> MakeStream() override;
  Result<std::unique_ptr<DeviceEvent>> MakeEvent() override;

  // Of streams.
  Status Check(const char* what);
  void Work(const std::function<void()>& work);
  void Run(const KernelCall& call);
  bool is_late() const { return pace_ == Pace::kLate; }

 private:
  void Protect(bool readable);

  const Pace pace_;
  std::atomic<int64_t> fail_at_ = INT64_MAX;
  std::atomic<int64_t> calls_ = 0;
  std::function<void()> on_kernel_;
  std::mutex mutex_;
  std::map<std::byte*, size_t> memory_;
  int working_ = 0;  // streams that work now
};

}  // namespace penstock::testing_support

#endif  // PENSTOCK_TESTS_READER_HOST_DEVICE_H_
