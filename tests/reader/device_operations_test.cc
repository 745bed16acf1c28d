// Every operation that has a form for devices, on the kernels compiled for the processor and, in a
// build with a back end and on a machine with a device, there: against the same operation on the
// processor, over all element types, odd frames, lost frames, several chunks of pixels and groups
// of masks, and several ways to cut the data into batches.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "penstock/reader/device.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/radial.h"
#include "reader/device/device_worker.h"
#include "tests/reader/host_device.h"
#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

using testing_support::HostDevice;

std::vector<std::shared_ptr<Device>> Devices() {
  std::vector<std::shared_ptr<Device>> devices = {
      std::make_shared<HostDevice>(HostDevice::Pace::kEager),
      std::make_shared<HostDevice>(HostDevice::Pace::kLate)};
  if (HasCudaBackEnd()) {
    auto cuda = OpenCudaDevice();
    if (cuda.ok()) devices.push_back(*std::move(cuda));
  }
  return devices;
}

// 3 x 7 frames, 5 of them lost. Small ones fill a part of a chunk of pixels, large ones several.
template <typename Pixel>
Frames<Pixel> RandomFrames(SignalShape signal) {
  Frames<Pixel> frames;
  frames.shape = {{3, 7, false}, signal, kTypeOf<Pixel>};
  frames.data.resize(frames.count() * frames.pixels());
  frames.valid.assign(frames.count(), 1);
  for (const size_t lost : {0, 9, 14, 15, 20}) frames.valid[lost] = 0;
  std::mt19937_64 random(7);
  if constexpr (std::is_integral_v<Pixel>) {
    std::uniform_int_distribution<int64_t> values(std::numeric_limits<Pixel>::min(),
                                                  std::numeric_limits<Pixel>::max());
    std::bernoulli_distribution extreme(0.2);
    for (Pixel& value : frames.data) {
      value =
          extreme(random) ? std::numeric_limits<Pixel>::max() : static_cast<Pixel>(values(random));
    }
  } else {
    std::lognormal_distribution<double> values(0, 1);
    for (Pixel& value : frames.data) value = static_cast<Pixel>(values(random) + 100);
  }
  return frames;
}

struct Cut {
  int64_t batch_frames;
  int64_t run_frames;  // that come at a time
  int64_t partition_frames;
};
constexpr Cut kBatchCuts[] = {{64, 64, 21}, {2, 3, 10}, {1, 1, 4}, {4, 2, 9}};

// As a pass does it.
template <typename Pixel>
void RunOnDevice(Device& device, Reduction& reduction, const Frames<Pixel>& frames, const Cut& cut,
                 std::shared_ptr<const std::vector<uint8_t>> good_pixels = {}) {
  const int64_t count = frames.shape.frame_count();
  PassPlan plan{frames.shape, 4, 256, 0, cut.partition_frames, std::move(good_pixels)};
  plan.partition_count = (count + cut.partition_frames - 1) / cut.partition_frames;
  ASSERT_TRUE(reduction.Begin(plan).ok());
  Reduction* const reductions[] = {&reduction};
  const size_t stride = (static_cast<size_t>(frames.shape.frame_bytes()) + 15) / 16 * 16;
  auto worker =
      DeviceWorker::Make(device, plan, reductions, static_cast<size_t>(cut.batch_frames) * stride);
  ASSERT_TRUE(worker.ok()) << worker.error().ToString();
  ASSERT_NE(*worker, nullptr);
  std::vector<std::unique_ptr<Reduction::State>> states;
  states.push_back(reduction.MakeState());
  for (int64_t index = 0; index < plan.partition_count; ++index) {
    const int64_t first = index * cut.partition_frames;
    const Partition partition{index, 0, {first, std::min(first + cut.partition_frames, count)}};
    reduction.BeginPartition(*states[0], partition);
    ASSERT_TRUE((*worker)->Begin(partition).ok());
    for (int64_t f = first; f < partition.frames.last; f += cut.run_frames) {
      // Its own memory, which is gone when the worker has taken it.
      const int64_t run = std::min(cut.run_frames, partition.frames.last - f);
      const auto pixels = static_cast<int64_t>(frames.pixels());
      const std::vector<Pixel> bytes(frames.data.begin() + f * pixels,
                                     frames.data.begin() + (f + run) * pixels);
      ASSERT_TRUE(
          (*worker)
              ->Add({f, run, reinterpret_cast<const std::byte*>(bytes.data())}, frames.valid.data())
              .ok());
    }
    ASSERT_TRUE((*worker)->Finish(states).ok());
    reduction.Merge(*states[0], partition);
  }
}

template <typename Pixel>
void RunOnProcessor(Reduction& reduction, const Frames<Pixel>& frames) {
  const Status status =
      RunInMemory(reduction, frames.shape, frames.data, frames.valid, PassCut{4, 256, 8});
  ASSERT_TRUE(status.ok()) << status.error().ToString();
}

// The same bits where they are integers, otherwise within `bound` of each other, NaN included.
void ExpectSame(const ResultArray& found, const ResultArray& expected,
                const std::vector<double>& bound = {}) {
  ASSERT_EQ(found.shape, expected.shape);
  ASSERT_EQ(found.values.index(), expected.values.index());
  if (found.is_integer()) {
    ASSERT_EQ(found.integers(), expected.integers());
    return;
  }
  for (size_t i = 0; i < found.size(); ++i) {
    const double a = found.doubles()[i], b = expected.doubles()[i];
    if (std::isnan(b)) {
      ASSERT_TRUE(std::isnan(a)) << i;
    } else {
      ASSERT_NEAR(a, b, bound.empty() ? 1e-12 * std::abs(b) : bound[i]) << i;
    }
  }
}

// Weights of one kind: 0 and 1, what fits a byte, 16 bits, more, and real ones.
std::vector<Mask> RandomMasks(SignalShape shape, int kind, size_t count) {
  std::mt19937_64 random(static_cast<uint64_t>(kind) + 100);
  std::uniform_int_distribution<int> bit(0, 1), byte(-127, 127), small(-32767, 32767),
      large(-1000000, 1000000);
  std::normal_distribution<double> real(0, 1);
  std::vector<Mask> masks;
  for (size_t k = 0; k < count; ++k) {
    Mask mask{"random", shape, std::vector<double>(static_cast<size_t>(shape.pixel_count()))};
    for (double& weight : mask.weights) {
      weight = kind == 0   ? bit(random)
               : kind == 1 ? byte(random)
               : kind == 2 ? small(random)
               : kind == 3 ? large(random)
                           : real(random);
    }
    masks.push_back(std::move(mask));
  }
  return masks;
}

// 2e-6 of the sum of the absolute terms, as operations.h promises it, twice.
template <typename Pixel>
std::vector<double> BoundOf(const Frames<Pixel>& frames, const std::vector<Mask>& masks) {
  std::vector<double> bound;
  for (const Mask& mask : masks) {
    for (size_t f = 0; f < frames.count(); ++f) {
      double scale = 0;
      for (size_t p = 0; p < frames.pixels(); ++p) {
        scale += std::abs(static_cast<double>(frames.At(f, p)) * mask.weights[p]);
      }
      bound.push_back(1e-6 * scale);
    }
  }
  return bound;
}

template <typename Pixel>
class DeviceOperations : public testing::Test {};
using Pixels = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, double>;
TYPED_TEST_SUITE(DeviceOperations, Pixels);

TYPED_TEST(DeviceOperations, MaskSums) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  for (int kind = 0; kind < 5; ++kind) {
    const std::vector<Mask> masks = RandomMasks(frames.shape.signal, kind, kind == 0 ? 17 : 6);
    auto expected = MaskReduction::Create(masks);
    ASSERT_TRUE(expected.ok());
    RunOnProcessor(**expected, frames);
    const std::vector<double> bound = BoundOf(frames, masks);
    for (const auto& device : Devices()) {
      for (const Cut& cut : kBatchCuts) {
        SCOPED_TRACE(testing::Message() << "kind " << kind << " on " << NameOf(*device));
        auto found = MaskReduction::Create(masks);
        RunOnDevice(*device, **found, frames, cut);
        ExpectSame((*found)->result(), (*expected)->result(), bound);
      }
    }
  }
}

TYPED_TEST(DeviceOperations, MaskSumsOfSeveralChunksOfPixels) {
  const auto frames = RandomFrames<TypeParam>({131, 67});
  for (const int kind : {0, 1, 4}) {
    const std::vector<Mask> masks = RandomMasks(frames.shape.signal, kind, 9);
    auto expected = MaskReduction::Create(masks);
    ASSERT_TRUE(expected.ok());
    RunOnProcessor(**expected, frames);
    for (const auto& device : Devices()) {
      auto found = MaskReduction::Create(masks);
      RunOnDevice(*device, **found, frames, {12, 5, 21});
      ExpectSame((*found)->result(), (*expected)->result(), BoundOf(frames, masks));
    }
  }
}

TYPED_TEST(DeviceOperations, ComplexMasksAndThoseOfFewRegions) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  const SignalShape signal = frames.shape.signal;
  const std::vector<Mask> disks = {DiskMask(signal, 18, 14, 6), AnnulusMask(signal, 18, 14, 6, 12)};
  const std::vector<Mask> complex = {HarmonicMask(signal, 18, 14, 3, 12, 1), disks[0]};
  for (const auto& device : Devices()) {
    auto expected = MaskReduction::Create(disks);
    RunOnProcessor(**expected, frames);
    auto found = MaskReduction::Create(disks);
    RunOnDevice(*device, **found, frames, kBatchCuts[1]);
    ExpectSame((*found)->result(), (*expected)->result(), BoundOf(frames, disks));

    expected = MaskReduction::Create(complex);
    RunOnProcessor(**expected, frames);
    found = MaskReduction::Create(complex);
    RunOnDevice(*device, **found, frames, kBatchCuts[1]);
    const std::vector<double> bound = BoundOf(frames, {FullMask(signal), disks[0]});
    const auto& values = (*found)->result().complexes();
    const auto& wanted = (*expected)->result().complexes();
    ASSERT_EQ(values.size(), wanted.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(wanted[i].real())) {
        ASSERT_TRUE(std::isnan(values[i].real()));
      } else {
        ASSERT_LE(std::abs(values[i] - wanted[i]), bound[i]);
      }
    }
  }
}

TYPED_TEST(DeviceOperations, Sum) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  SumReduction expected;
  RunOnProcessor(expected, frames);
  for (const auto& device : Devices()) {
    for (const Cut& cut : kBatchCuts) {
      SumReduction found;
      RunOnDevice(*device, found, frames, cut);
      EXPECT_EQ(found.frames_summed(), expected.frames_summed());
      ExpectSame(found.result(), expected.result());
    }
  }
}

TYPED_TEST(DeviceOperations, MeanAndDeviation) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  StatisticsReduction expected;
  RunOnProcessor(expected, frames);
  for (const auto& device : Devices()) {
    for (const Cut& cut : kBatchCuts) {
      StatisticsReduction found;
      RunOnDevice(*device, found, frames, cut);
      EXPECT_EQ(found.frames_seen(), expected.frames_seen());
      ExpectSame(found.Mean(), expected.Mean());
      ExpectSame(found.StandardDeviation(), expected.StandardDeviation());
    }
  }
}

TYPED_TEST(DeviceOperations, CentreOfMass) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  const Mask disk = DiskMask(frames.shape.signal, 18, 14, 12);
  auto expected = CentreOfMassReduction::Create(disk);
  RunOnProcessor(**expected, frames);
  for (const auto& device : Devices()) {
    auto found = CentreOfMassReduction::Create(disk);
    RunOnDevice(*device, **found, frames, kBatchCuts[3]);
    const std::vector<double> bound(frames.count(), std::is_integral_v<TypeParam> ? 0 : 1e-4);
    ExpectSame((*found)->Rows(), (*expected)->Rows(), bound);
    ExpectSame((*found)->Columns(), (*expected)->Columns(), bound);
  }
}

TYPED_TEST(DeviceOperations, RadialSums) {
  const auto frames = RandomFrames<TypeParam>({37, 29});
  PolarGrid grid;
  grid.centre_row = 18.3;
  grid.centre_column = 13.7;
  grid.inner = 2;
  for (const int64_t rings : {1, 12, 40}) {
    grid.rings = rings;
    grid.sectors = rings == 12 ? 5 : 1;
    auto expected = RadialReduction::Create(grid);
    RunOnProcessor(**expected, frames);
    std::vector<double> bound = (*expected)->sums().AsDoubles();
    for (double& value : bound) value = 1e-6 * std::abs(value);
    for (const auto& device : Devices()) {
      for (const Cut& cut : kBatchCuts) {
        auto found = RadialReduction::Create(grid);
        RunOnDevice(*device, **found, frames, cut);
        ExpectSame((*found)->sums(), (*expected)->sums(), bound);
      }
    }
  }
}

TEST(DeviceForms, LeaveOutThePixelsThatAreNotGood) {
  const auto frames = RandomFrames<uint16_t>({37, 29});
  auto good = std::make_shared<std::vector<uint8_t>>(frames.pixels(), uint8_t{1});
  for (size_t p = 0; p < good->size(); p += 7) (*good)[p] = 0;
  std::vector<Mask> masks = RandomMasks(frames.shape.signal, 1, 3);
  for (const auto& device : Devices()) {
    auto found = MaskReduction::Create(masks);
    RunOnDevice(*device, **found, frames, kBatchCuts[1], good);
    SumReduction sum;
    RunOnDevice(*device, sum, frames, kBatchCuts[1], good);
    std::vector<int64_t> sums(frames.pixels());
    for (size_t f = 0; f < frames.count(); ++f) {
      for (size_t k = 0; k < masks.size(); ++k) {
        int64_t expected = 0;
        for (size_t p = 0; p < frames.pixels(); ++p) {
          if ((*good)[p] != 0) {
            expected += frames.At(f, p) * static_cast<int64_t>(masks[k].weights[p]);
          }
        }
        ASSERT_EQ((*found)->result().integers()[k * frames.count() + f],
                  frames.valid[f] != 0 ? expected : 0);
      }
      for (size_t p = 0; p < frames.pixels(); ++p) {
        if (frames.valid[f] != 0 && (*good)[p] != 0) sums[p] += frames.At(f, p);
      }
    }
    EXPECT_EQ(sum.result().integers(), sums);
  }
}

// The sums of a thread are widened before they can overflow.
TEST(DeviceForms, TheLargestPixelsTimesTheLargestWeightsAreExact) {
  Frames<uint16_t> frames;
  frames.shape = {{1, 3, false}, {256, 256}, ElementType::kUint16};
  frames.data.assign(frames.count() * frames.pixels(), UINT16_MAX);
  frames.valid.assign(frames.count(), 1);
  for (const double weight : {127.0, -127.0, 32767.0}) {
    Mask mask = FullMask(frames.shape.signal);
    for (double& value : mask.weights) value = weight;
    for (const auto& device : Devices()) {
      auto found = MaskReduction::Create({mask});
      RunOnDevice(*device, **found, frames, {2, 2, 3});
      for (const int64_t total : (*found)->result().integers()) {
        ASSERT_EQ(total, int64_t{65536} * 65535 * static_cast<int64_t>(weight));
      }
    }
  }
}

// A float64 sum takes the frames one after another on both.
TEST(DeviceForms, SumsOfFloatsAreTheSameToTheLastBit) {
  const auto frames = RandomFrames<float>({37, 29});
  SumReduction expected, found;
  RunOnProcessor(expected, frames);
  HostDevice device(HostDevice::Pace::kLate);
  RunOnDevice(device, found, frames, {4, 3, 8});
  EXPECT_EQ(found.result().doubles(), expected.result().doubles());
}

}  // namespace
}  // namespace penstock
