#include "measured_operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "penstock/reader/operations.h"
#include "penstock/reader/radial.h"

namespace penstock {

namespace {

// Rings about the middle of the frame.
std::vector<Mask> Rings(SignalShape shape, int count) {
  const double row = static_cast<double>(shape.rows) / 2;
  const double column = static_cast<double>(shape.columns) / 2;
  const double radius = static_cast<double>(std::min(shape.rows, shape.columns)) / 2;
  std::vector<Mask> masks;
  masks.reserve(static_cast<size_t>(count));
  for (int k = 0; k < count; ++k) {
    masks.push_back(AnnulusMask(shape, row, column, radius * k / count, radius * (k + 1) / count));
  }
  return masks;
}

// `weight` of numbers between 0 and 1.
std::vector<Mask> RandomMasks(SignalShape shape, int count,
                              const std::function<double(double)>& weight) {
  std::vector<Mask> masks = Rings(shape, count);
  uint32_t random = 1;
  for (Mask& mask : masks) {
    for (double& value : mask.weights) {
      random = random * 1664525 + 1013904223;
      value = weight(static_cast<double>(random >> 8) / (1 << 24));
    }
  }
  return masks;
}

double SmallInteger(double random) {
  return static_cast<double>(static_cast<int>(random * 15) - 7);
}
double AnyWeight(double random) { return 0.1 + random; }

using Made = Result<std::unique_ptr<Reduction>>;

template <typename T>
Made Upcast(Result<std::unique_ptr<T>> made) {
  if (!made.ok()) return made.error();
  return std::unique_ptr<Reduction>(std::move(made).value());
}

template <typename T>
Made New(SignalShape) {
  return std::unique_ptr<Reduction>(std::make_unique<T>());
}

Made Radial(SignalShape signal) {
  const PolarGrid grid{.centre_row = static_cast<double>(signal.rows) / 2,
                       .centre_column = static_cast<double>(signal.columns) / 2,
                       .rings = 256};
  return Upcast(RadialReduction::Create(grid));
}

struct Operation {
  std::string name;
  std::vector<std::function<Made(SignalShape)>> make;
};

std::vector<Operation> AllOperations() {
  const auto sum = &New<SumReduction>;
  const auto statistics = &New<StatisticsReduction>;
  const auto extremes = &New<ExtremesReduction>;
  const auto com = [](SignalShape signal) {
    return Upcast(CentreOfMassReduction::Create(FullMask(signal)));
  };
  const auto histogram = [](SignalShape) {
    return Upcast(HistogramReduction::Create({.count = 256, .low = 0, .high = 256}));
  };
  const auto rings = [](int count) {
    return
        [count](SignalShape signal) { return Upcast(MaskReduction::Create(Rings(signal, count))); };
  };
  const auto random = [](int count, double (*weight)(double)) {
    return [count, weight](SignalShape signal) {
      return Upcast(MaskReduction::Create(RandomMasks(signal, count, weight)));
    };
  };
  std::vector<Operation> operations = {{"sum", {sum}}};
  for (const int count : {1, 4, 8, 16, 32, 64}) {
    operations.push_back({fmt::format("masks_{}", count), {rings(count)}});
  }
  for (const int count : {1, 4, 8, 16}) {
    operations.push_back({fmt::format("integer_masks_{}", count), {random(count, &SmallInteger)}});
  }
  for (const int count : {1, 4, 8, 16}) {
    operations.push_back({fmt::format("float_masks_{}", count), {random(count, &AnyWeight)}});
  }
  operations.push_back({"std", {statistics}});
  operations.push_back({"extremes", {extremes}});
  operations.push_back({"com", {com}});
  operations.push_back({"histogram", {histogram}});
  operations.push_back({"radial_256", {&Radial}});
  operations.push_back({"together", {sum, statistics, rings(4), com}});
  return operations;
}

}  // namespace

Result<std::vector<MeasuredOperation>> MakeMeasuredOperations(
    SignalShape signal, const std::vector<std::string>& only) {
  std::vector<MeasuredOperation> measured;
  for (const Operation& operation : AllOperations()) {
    if (!only.empty() && std::ranges::find(only, operation.name) == only.end()) continue;
    MeasuredOperation next;
    next.name = operation.name;
    for (const auto& make : operation.make) {
      PENSTOCK_ASSIGN_OR_RETURN(auto reduction, make(signal));
      next.reductions.push_back(std::move(reduction));
    }
    measured.push_back(std::move(next));
  }
  return measured;
}

}  // namespace penstock
