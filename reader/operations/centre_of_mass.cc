#include <fmt/format.h>

#include <limits>
#include <utility>

#include "penstock/reader/operations.h"
#include "reader/device/device_form.h"

namespace penstock {

namespace {

enum Moment : size_t { kWeight, kRow, kColumn, kMomentCount };

// Coordinates are counted from the middle of the frame: smaller weights need widening less often.
Mask MomentMask(const Mask& selection, Moment moment) {
  Mask mask = selection;
  const int64_t columns = selection.shape.columns;
  for (size_t p = 0; p < mask.weights.size(); ++p) {
    const auto pixel = static_cast<int64_t>(p);
    const int64_t coordinate =
        moment == kRow ? pixel / columns - selection.shape.rows / 2 : pixel % columns - columns / 2;
    mask.weights[p] *= static_cast<double>(coordinate);
  }
  return mask;
}

// (moment about the middle + middle * weight) / weight: integer sums are divided once.
ResultArray Divide(const ResultArray& moments, Moment moment, int64_t middle) {
  ResultArray result;
  if (moments.shape.empty()) return result;  // no pass has begun
  result.shape.assign(moments.shape.begin() + 1, moments.shape.end());
  const size_t frames = moments.size() / kMomentCount;
  std::vector<double> centre(frames, std::numeric_limits<double>::quiet_NaN());
  const auto divide = [&]<typename T>(const std::vector<T>& values) {
    for (size_t f = 0; f < frames; ++f) {
      const T weight = values[kWeight * frames + f];
      if (weight == T{0}) continue;
      const T sum = values[moment * frames + f] + static_cast<T>(middle) * weight;
      centre[f] = static_cast<double>(sum) / static_cast<double>(weight);
    }
  };
  if (moments.is_integer()) {
    divide(moments.integers());
  } else {
    divide(moments.doubles());
  }
  result.values = std::move(centre);
  return result;
}

}  // namespace

CentreOfMassReduction::CentreOfMassReduction(std::unique_ptr<MaskReduction> moments,
                                             SignalShape shape)
    : moments_(std::move(moments)), shape_(shape) {}
CentreOfMassReduction::~CentreOfMassReduction() = default;

Result<std::unique_ptr<CentreOfMassReduction>> CentreOfMassReduction::Create(
    const Mask& selection) {
  if (selection.weights.size() != static_cast<size_t>(selection.shape.pixel_count())) {
    return Error::InvalidArgument("the selection has not one weight per pixel");
  }
  if (selection.is_complex()) {
    return Error::InvalidArgument("the weights of a centre of mass are real")
        .Found(fmt::format("complex weights in '{}'", selection.name));
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      auto moments, MaskReduction::Create(
                        {selection, MomentMask(selection, kRow), MomentMask(selection, kColumn)}));
  return std::unique_ptr<CentreOfMassReduction>(
      new CentreOfMassReduction(std::move(moments), selection.shape));
}

ResultArray CentreOfMassReduction::Rows() const {
  return Divide(moments_->result(), kRow, shape_.rows / 2);
}

ResultArray CentreOfMassReduction::Columns() const {
  return Divide(moments_->result(), kColumn, shape_.columns / 2);
}

ResultArray CentreOfMassReduction::Intensity() const {
  const ResultArray& moments = moments_->result();
  ResultArray result;
  if (moments.shape.empty()) return result;
  result.shape.assign(moments.shape.begin() + 1, moments.shape.end());
  const auto frames = static_cast<ptrdiff_t>(moments.size() / kMomentCount);
  std::visit(
      [&](const auto& values) {
        using Values = std::decay_t<decltype(values)>;
        result.values = Values(values.begin(), values.begin() + frames);
      },
      moments.values);
  return result;
}

bool CentreOfMassReduction::IsOrderFree() const { return moments_->IsOrderFree(); }
bool CentreOfMassReduction::FoldsView(const FrameView& view) const {
  return moments_->FoldsView(view);
}
bool CentreOfMassReduction::TakesPixelOrder() const { return moments_->TakesPixelOrder(); }
bool CentreOfMassReduction::TakesPackedPixels() const { return moments_->TakesPackedPixels(); }
Status CentreOfMassReduction::Begin(const PassPlan& plan) { return moments_->Begin(plan); }
std::unique_ptr<Reduction::State> CentreOfMassReduction::MakeState() const {
  return moments_->MakeState();
}
void CentreOfMassReduction::BeginPartition(State& state, const Partition& partition) const {
  moments_->BeginPartition(state, partition);
}
void CentreOfMassReduction::Process(State& state, const Tile& tile) const {
  moments_->Process(state, tile);
}
void CentreOfMassReduction::ProcessPacked(State& state, const PackedTile& tile) const {
  moments_->ProcessPacked(state, tile);
}
void CentreOfMassReduction::Merge(State& state, const Partition& partition) {
  moments_->Merge(state, partition);
}
Result<std::unique_ptr<DeviceForm>> CentreOfMassReduction::MakeDeviceForm(
    const DeviceContext& context) const {
  return moments_->MakeDeviceForm(context);
}

}  // namespace penstock
