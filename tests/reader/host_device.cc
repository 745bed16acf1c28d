#include "tests/reader/host_device.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <utility>

#include "reader/device/kernels/dispatch.h"

namespace penstock::testing_support {

namespace {

constexpr int kRubbish = 0xc3;  // what memory holds that nobody has written

// One block after another, and within a block the threads one after another, now from the front and
// now from the back: what depends on their order differs.
template <typename Kernel>
class HostExecution {
 public:
  using Shared = typename Kernel::Shared;
  using Registers = typename Kernel::Registers;

  HostExecution(device_kernels::GridShape blocks, bool backwards)
      : blocks_(blocks), backwards_(backwards), registers_(Kernel::kThreads) {
    std::memset(static_cast<void*>(&shared_), kRubbish, sizeof shared_);
    std::memset(static_cast<void*>(registers_.data()), kRubbish,
                registers_.size() * sizeof(Registers));
  }

  device_kernels::GridShape& block() { return block_; }
  const device_kernels::GridShape& block() const { return block_; }
  const device_kernels::GridShape& blocks() const { return blocks_; }
  Shared& shared() { return shared_; }

  template <typename Body>
  void EachThread(const Body& body) {
    for (int i = 0; i < Kernel::kThreads; ++i) {
      const int thread = backwards_ ? Kernel::kThreads - 1 - i : i;
      body(thread, registers_[static_cast<size_t>(thread)]);
    }
    backwards_ = !backwards_;
  }

 private:
  const device_kernels::GridShape blocks_;
  device_kernels::GridShape block_;
  bool backwards_;
  Shared shared_;
  std::vector<Registers> registers_;
};

template <typename Kernel>
void RunKernel(const Kernel& kernel, bool backwards) {
  const device_kernels::GridShape blocks = kernel.grid();
  EXPECT_TRUE(blocks.x > 0 && blocks.x <= INT32_MAX && blocks.y > 0 && blocks.y <= 65535 &&
              blocks.z > 0 && blocks.z <= 65535);
  static_assert(sizeof(typename Kernel::Shared) <= 48 * 1024);
  for (int64_t z = 0; z < blocks.z; ++z) {
    for (int64_t y = 0; y < blocks.y; ++y) {
      for (int64_t x = 0; x < blocks.x; ++x) {
        auto execution = std::make_unique<HostExecution<Kernel>>(blocks, backwards);
        execution->block() = {x, y, z};
        kernel(*execution);
      }
    }
  }
}

class HostStream final : public DeviceStream {
 public:
  explicit HostStream(HostDevice& device) : device_(device) {}

  Status CopyToDevice(std::byte* to, const std::byte* from, size_t bytes) override {
    return Ask("copy to the device", [=] { std::memcpy(to, from, bytes); });
  }
  Status CopyToHost(std::byte* to, const std::byte* from, size_t bytes) override {
    return Ask("copy from the device", [=] { std::memcpy(to, from, bytes); });
  }
  Status Clear(std::byte* memory, size_t bytes) override {
    return Ask("clear memory", [=] { std::memset(memory, 0, bytes); });
  }
  Status Launch(const KernelCall& call) override {
    return Ask("launch a kernel", [this, call] { device_.Run(call); });
  }
  Status Record(DeviceEvent& event) override;
  Status WaitFor(DeviceEvent& event) override;
  Status Wait() override {
    RunTo(done_ + waiting_.size());
    return device_.Check("wait for a stream");
  }

  // Does the work that was asked for before this place.
  void RunTo(size_t place) {
    while (done_ < place && !waiting_.empty()) {
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      ++done_;
      work();
    }
  }

 private:
  Status Ask(const char* what, std::function<void()> work) {
    PENSTOCK_RETURN_IF_ERROR(device_.Check(what));
    Enqueue([this, work = std::move(work)] { device_.Work(work); });
    return Status::Ok();
  }
  void Enqueue(std::function<void()> work) {
    waiting_.push_back(std::move(work));
    if (!device_.is_late()) RunTo(done_ + waiting_.size());
  }

  HostDevice& device_;
  std::deque<std::function<void()>> waiting_;
  size_t done_ = 0;
};

class HostEvent final : public DeviceEvent {
 public:
  explicit HostEvent(HostDevice& device) : device_(device) {}

  Status Wait() override {
    Reach();
    return device_.Check("wait for an event");
  }
  void Reach() const {
    if (stream_ != nullptr) stream_->RunTo(place_);
  }
  void Set(HostStream* stream, size_t place) {
    stream_ = stream;
    place_ = place;
  }

 private:
  HostDevice& device_;
  HostStream* stream_ = nullptr;
  size_t place_ = 0;
};

Status HostStream::Record(DeviceEvent& event) {
  static_cast<HostEvent&>(event).Set(this, done_ + waiting_.size());
  return device_.Check("record an event");
}

Status HostStream::WaitFor(DeviceEvent& event) {
  // A copy: the event may be recorded anew before the work comes to this place.
  Enqueue([event = static_cast<HostEvent&>(event)] { event.Reach(); });
  return device_.Check("wait for an event in a stream");
}

}  // namespace

HostDevice::~HostDevice() { EXPECT_TRUE(memory_.empty()) << "memory of the device was lost"; }

Status HostDevice::Check(const char* what) {
  if (calls_++ < fail_at_) return Status::Ok();
  return Error(ErrorKind::kIo, std::string("cannot ") + what).Found("an error of the test");
}

void HostDevice::Protect(bool readable) {
  for (const auto& [memory, bytes] : memory_) {
    EXPECT_EQ(mprotect(memory, bytes, readable ? PROT_READ | PROT_WRITE : PROT_NONE), 0);
  }
}

void HostDevice::Work(const std::function<void()>& work) {
  {
    const std::lock_guard lock(mutex_);
    if (working_++ == 0) Protect(true);
  }
  work();
  const std::lock_guard lock(mutex_);
  if (--working_ == 0) Protect(false);
}

void HostDevice::Run(const KernelCall& call) {
  if (on_kernel_) on_kernel_();
  const bool known = std::visit(
      [&](const auto& arguments) {
        return device_kernels::Dispatch(
            arguments, [&](const auto& kernel) { RunKernel(kernel, /*backwards=*/is_late()); });
      },
      call);
  EXPECT_TRUE(known) << "no kernel for these types";
}

Result<DeviceMemory> HostDevice::Allocate(size_t bytes) {
  PENSTOCK_RETURN_IF_ERROR(Check("allocate memory of the device"));
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t size = (bytes + page - 1) / page * page + page;
  void* const mapped =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return Error::FromErrno(errno, "cannot map memory");
  std::memset(mapped, kRubbish, size);
  auto* const memory = static_cast<std::byte*>(mapped);
  const std::lock_guard lock(mutex_);
  memory_[memory] = size;
  if (working_ == 0) Protect(false);
  return DeviceMemory(memory, [this](std::byte* gone) {
    const std::lock_guard with(mutex_);
    munmap(gone, memory_.at(gone));
    memory_.erase(gone);
  });
}

Result<DeviceMemory> HostDevice::AllocatePinned(size_t bytes) {
  PENSTOCK_RETURN_IF_ERROR(Check("allocate pinned memory"));
  auto* const memory = new std::byte[bytes]();
  return DeviceMemory(memory, [](std::byte* gone) { delete[] gone; });
}

Result<std::unique_ptr<DeviceStream>> HostDevice::MakeStream() {
  PENSTOCK_RETURN_IF_ERROR(Check("make a stream"));
  return std::unique_ptr<DeviceStream>(std::make_unique<HostStream>(*this));
}

Result<std::unique_ptr<DeviceEvent>> HostDevice::MakeEvent() {
  PENSTOCK_RETURN_IF_ERROR(Check("make an event"));
  return std::unique_ptr<DeviceEvent>(std::make_unique<HostEvent>(*this));
}

}  // namespace penstock::testing_support
