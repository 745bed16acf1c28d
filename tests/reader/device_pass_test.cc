// Passes that a device and processors share: the same results whoever did which partition, and
// whatever fails on the way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "penstock/reader/operations.h"
#include "penstock/reader/radial.h"
#include "penstock/reader/reader.h"
#include "reader/device/device_form.h"
#include "tests/reader/host_device.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing_support::HostDevice;
using testing_support::SyntheticOptions;
using testing_support::WriteSyntheticDataset;

// Two sides meet once; who comes later finds the door open.
class Meeting {
 public:
  void Come(bool processor) {
    std::unique_lock lock(mutex_);
    (processor ? processor_ : device_) = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, std::chrono::seconds(60),
                           [this] { return processor_ && device_; })) {
      ADD_FAILURE() << "one side got no partition";
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool processor_ = false;
  bool device_ = false;
};

// A sum; processors do none of it before the device has begun.
class MeetingSum final : public Reduction {
 public:
  explicit MeetingSum(Meeting* meeting) : meeting_(meeting) {}
  bool IsOrderFree() const override { return sum_.IsOrderFree(); }
  Status Begin(const PassPlan& plan) override { return sum_.Begin(plan); }
  std::unique_ptr<State> MakeState() const override { return sum_.MakeState(); }
  void BeginPartition(State& state, const Partition& partition) const override {
    sum_.BeginPartition(state, partition);
  }
  void Process(State& state, const Tile& tile) const override {
    if (meeting_ != nullptr) meeting_->Come(true);
    sum_.Process(state, tile);
  }
  void Merge(State& state, const Partition& partition) override { sum_.Merge(state, partition); }
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override {
    return sum_.MakeDeviceForm(context);
  }
  const ResultArray& result() const { return sum_.result(); }

 private:
  Meeting* const meeting_;
  SumReduction sum_;
};

struct Results {
  std::vector<ResultArray> arrays;
  Result<PassSummary> summary;
};

class DevicePass : public testing::Test {
 protected:
  DevicePass()
      : directory_(std::filesystem::temp_directory_path() /
                   ("device-pass-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(directory_);
  }
  ~DevicePass() override { std::filesystem::remove_all(directory_); }

  // 9 x 11 frames of 27 x 31 pixels in blocks of two rows, three frames lost, some pixels bad.
  void Write(ElementType type, Compression compression = Compression::kNone) {
    std::filesystem::remove_all(directory_);
    written_.shape = {{9, 11, false}, {27, 31}, type};
    written_.block_bytes = 22 * written_.shape.frame_bytes();
    written_.missing = {0, 23, 98};
    written_.pixel_mask.assign(static_cast<size_t>(written_.shape.signal.pixel_count()), 0);
    written_.pixel_mask[5] = written_.pixel_mask[400] = 1;
    written_.compression = compression;
    const Status status = WriteSyntheticDataset(directory_, written_);
    ASSERT_TRUE(status.ok()) << status.error().ToString();
  }

  Reader Open() const {
    ReadOptions options;
    options.buffer_bytes = 3 * written_.shape.frame_bytes();
    auto reader = Reader::Open(directory_, options);
    EXPECT_TRUE(reader.ok());
    return std::move(reader).value();
  }

  PassOptions Options(std::shared_ptr<Device> device, int threads = 1) const {
    PassOptions options;
    options.threads = threads;
    options.tile_frames = 4;
    options.tile_bytes = 4096;
    options.partition_bytes = 8 * written_.shape.frame_bytes();
    options.device = std::move(device);
    options.device_batch_bytes = 3 * 2048;
    return options;
  }

  // All operations that have a form for devices, in one pass.
  Results RunAll(const PassOptions& options, bool real_weights = false,
                 Meeting* meeting = nullptr) const {
    const SignalShape signal = written_.shape.signal;
    std::vector<Mask> masks = {DiskMask(signal, 13, 15, 6), AnnulusMask(signal, 13, 15, 6, 12.5),
                               FullMask(signal)};
    if (real_weights) masks[1].weights[0] = 0.37;
    auto mask_sums = MaskReduction::Create(masks);
    auto centre = CentreOfMassReduction::Create(masks[0]);
    PolarGrid grid;
    grid.centre_row = 13;
    grid.centre_column = 15;
    grid.rings = 9;
    auto radial = RadialReduction::Create(grid);
    MeetingSum sum(meeting);
    StatisticsReduction statistics;
    Reduction* const reductions[] = {mask_sums->get(), centre->get(), radial->get(), &sum,
                                     &statistics};
    auto summary = Open().Run(reductions, options);
    return {{(*mask_sums)->result(), (*centre)->Rows(), (*centre)->Columns(), (*radial)->sums(),
             sum.result(), statistics.Mean(), statistics.StandardDeviation()},
            std::move(summary)};
  }

  std::filesystem::path directory_;
  SyntheticOptions written_;
};

// `bound`: of values of float64, relative; 0: the same bits.
void ExpectSame(const Results& found, const Results& expected, double bound) {
  ASSERT_TRUE(found.summary.ok()) << found.summary.error().ToString();
  EXPECT_EQ(found.summary->frames, expected.summary->frames);
  EXPECT_EQ(found.summary->frames_invalid, expected.summary->frames_invalid);
  ASSERT_EQ(found.arrays.size(), expected.arrays.size());
  for (size_t a = 0; a < found.arrays.size(); ++a) {
    SCOPED_TRACE(testing::Message() << "array " << a);
    ASSERT_EQ(found.arrays[a].shape, expected.arrays[a].shape);
    ASSERT_EQ(found.arrays[a].is_integer(), expected.arrays[a].is_integer());
    if (found.arrays[a].is_integer()) {
      ASSERT_EQ(found.arrays[a].integers(), expected.arrays[a].integers());
      continue;
    }
    const auto &left = found.arrays[a].doubles(), &right = expected.arrays[a].doubles();
    for (size_t i = 0; i < left.size(); ++i) {
      if (std::isnan(right[i])) {
        ASSERT_TRUE(std::isnan(left[i]));
      } else {
        ASSERT_LE(std::abs(left[i] - right[i]), bound * std::max(std::abs(right[i]), 1.0)) << i;
      }
    }
  }
}

TEST_F(DevicePass, ProcessorsAndTheDeviceShareItWithoutADifferenceToTheResults) {
  for (const ElementType type : {ElementType::kUint8, ElementType::kUint16}) {
    Write(type);
    const Results expected = RunAll(Options(nullptr));
    ASSERT_TRUE(expected.summary.ok());
    EXPECT_EQ(expected.summary->partitions_on_device, 0);
    for (const auto pace : {HostDevice::Pace::kEager, HostDevice::Pace::kLate}) {
      for (const int threads : {1, 3}) {
        auto device = std::make_shared<HostDevice>(pace);
        Meeting meeting;
        device->OnKernel([&] { meeting.Come(false); });
        const Results found = RunAll(Options(device, threads), false, &meeting);
        ExpectSame(found, expected, 0);
        EXPECT_GT(found.summary->partitions_on_device, 0);
        EXPECT_LT(found.summary->partitions_on_device, found.summary->partitions);
        EXPECT_EQ(found.summary->device_note, "");
        EXPECT_EQ(found.summary->threads, threads + 2);
      }
    }
  }
}

TEST_F(DevicePass, WhereTheLastDigitsDifferTheDeviceDoesAllOfIt) {
  for (const ElementType type :
       {ElementType::kInt16, ElementType::kUint32, ElementType::kFloat32}) {
    Write(type);
    const Results expected = RunAll(Options(nullptr), true);
    std::optional<Results> first;
    for (const int workers : {1, 2, 3}) {
      auto device = std::make_shared<HostDevice>(HostDevice::Pace::kLate);
      PassOptions options = Options(device, 2);
      options.device_workers = workers;
      const Results found = RunAll(options, true);
      ExpectSame(found, expected, 1e-5);
      EXPECT_EQ(found.summary->partitions_on_device, found.summary->partitions);
      EXPECT_EQ(found.summary->threads, workers);
      if (first) ExpectSame(found, *first, 0);
      if (!first) first.emplace(found);
    }
  }
}

TEST_F(DevicePass, InAnyOrderTheyShareAlsoThat) {
  Write(ElementType::kFloat32);
  const Results expected = RunAll(Options(nullptr), true);
  auto device = std::make_shared<HostDevice>(HostDevice::Pace::kLate);
  Meeting meeting;
  device->OnKernel([&] { meeting.Come(false); });
  PassOptions options = Options(device, 2);
  options.fast_order = true;
  const Results found = RunAll(options, true, &meeting);
  ExpectSame(found, expected, 1e-5);
  EXPECT_GT(found.summary->partitions_on_device, 0);
  EXPECT_LT(found.summary->partitions_on_device, found.summary->partitions);
}

TEST_F(DevicePass, CompressedBlocksAndChosenFrames) {
  for (const Compression compression : {Compression::kNone, Compression::kLz4}) {
    Write(ElementType::kUint16, compression);
    PassOptions options = Options(nullptr);
    options.selection.assign(99, 0);
    for (const size_t frame : {0, 1, 7, 23, 24, 25, 60, 61, 97}) options.selection[frame] = 1;
    const Results expected = RunAll(options, true);
    options.device = std::make_shared<HostDevice>(HostDevice::Pace::kLate);
    const Results found = RunAll(options, true);
    ExpectSame(found, expected, 1e-5);
    EXPECT_EQ(found.summary->partitions_on_device, found.summary->partitions);
    EXPECT_EQ(found.summary->frames, 9);
  }
}

TEST_F(DevicePass, WhatHasNoFormForDevicesIsDoneByProcessors) {
  Write(ElementType::kUint16);
  SumReduction sum, expected;
  ExtremesReduction extremes;
  Reduction* const both[] = {&sum, &extremes};
  Reduction* const one[] = {&expected};
  auto device = std::make_shared<HostDevice>(HostDevice::Pace::kEager);
  const auto summary = Open().Run(both, Options(device));
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->partitions_on_device, 0);
  EXPECT_THAT(summary->device_note, testing::HasSubstr("not all operations"));
  ASSERT_TRUE(Open().Run(one, Options(nullptr)).ok());
  EXPECT_EQ(sum.result().integers(), expected.result().integers());
}

TEST_F(DevicePass, WhatIsSeenThroughAViewIsDoneByProcessors) {
  Write(ElementType::kUint16);
  SumReduction sum;
  Reduction* const reductions[] = {&sum};
  PassOptions options = Options(std::make_shared<HostDevice>(HostDevice::Pace::kEager));
  options.view.crop = PixelWindow{2, 10, 3, 12};
  const auto summary = Open().Run(reductions, options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  EXPECT_EQ(summary->partitions_on_device, 0);
  EXPECT_THAT(summary->device_note, testing::HasSubstr("view"));
  EXPECT_EQ(sum.result().shape, (std::vector<int64_t>{8, 9}));
}

// Every call of the device fails once, from the first allocation to the last wait.
TEST_F(DevicePass, WhateverFailsOnTheDeviceTheResultsAreRight) {
  Write(ElementType::kUint16);
  const Results expected = RunAll(Options(nullptr), true);
  const auto run = [&](const std::shared_ptr<HostDevice>& device) {
    PassOptions options = Options(device);
    options.device_workers = 1;
    return RunAll(options, true);
  };
  auto sound = std::make_shared<HostDevice>(HostDevice::Pace::kLate);
  ExpectSame(run(sound), expected, 1e-5);
  const int64_t calls = sound->calls();
  ASSERT_GT(calls, 300);
  int64_t failed_at_work = 0;
  for (int64_t call = 0; call < calls; call += call < 150 ? 1 : 13) {
    SCOPED_TRACE(testing::Message() << "call " << call);
    auto device = std::make_shared<HostDevice>(HostDevice::Pace::kLate);
    device->FailAt(call);
    const Results found = run(device);
    ExpectSame(found, expected, 1e-5);
    ASSERT_LT(found.summary->partitions_on_device, found.summary->partitions);
    ASSERT_THAT(found.summary->device_note, testing::HasSubstr("an error of the test"));
    if (found.summary->device_note.starts_with("the device failed")) ++failed_at_work;
  }
  EXPECT_GT(failed_at_work, 50);
}

TEST_F(DevicePass, StopsWhenAsked) {
  Write(ElementType::kUint16);
  std::stop_source stop;
  PassOptions options = Options(std::make_shared<HostDevice>(HostDevice::Pace::kLate), 2);
  options.stop = stop.get_token();
  options.on_partition = [&](const PassProgress& progress) {
    if (progress.partitions_done == 3) stop.request_stop();
  };
  const Results found = RunAll(options);
  ASSERT_FALSE(found.summary.ok());
  EXPECT_EQ(found.summary.error().kind(), ErrorKind::kCancelled);
}

TEST(CudaBackEnd, SaysWhetherItIsThere) {
  const auto device = OpenCudaDevice(1000);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().kind(),
            HasCudaBackEnd() ? ErrorKind::kNotFound : ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace penstock
