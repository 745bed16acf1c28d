#include "reader/device/mask_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "reader/device/kernels/dispatch.h"

namespace penstock {

namespace {

using device_kernels::DivideUp;

constexpr double kLargestByteWeight = 127;
constexpr int64_t kMostMaskGroups = 65535;  // what a grid has

WeightKind KindFor(ElementType type, MaskStack masks, bool exact) {
  if (exact) {
    if (ElementSize(type) > 2) return WeightKind::kInt64;
    const bool small = std::ranges::all_of(masks, [](const Mask* mask) {
      return std::ranges::all_of(
          mask->weights, [](double weight) { return std::abs(weight) <= kLargestByteWeight; });
    });
    return small ? WeightKind::kInt8 : WeightKind::kInt64;
  }
  const bool has_kernel =
      type == ElementType::kUint8 || type == ElementType::kUint16 || type == ElementType::kFloat32;
  return has_kernel ? WeightKind::kFloat : WeightKind::kDouble;
}

struct PackedStack {
  int64_t groups = 0;
  int64_t masks_per_group = 0;
  int64_t chunks = 0;
  std::vector<std::byte> weights;
};

template <typename Layout>
PackedStack Pack(MaskStack masks) {
  using Weight = typename Layout::Weight;
  PackedStack stack;
  const auto pixels = static_cast<int64_t>(masks.front()->weights.size());
  stack.masks_per_group = Layout::kMasks;
  stack.groups = DivideUp(static_cast<int64_t>(masks.size()), Layout::kMasks);
  stack.chunks = DivideUp(pixels, Layout::kChunkPixels);
  stack.weights.resize(static_cast<size_t>(stack.groups * stack.chunks) * Layout::kChunkBytes);
  for (size_t k = 0; k < masks.size(); ++k) {
    const auto group = static_cast<int64_t>(k) / Layout::kMasks;
    for (int64_t p = 0; p < pixels; ++p) {
      const auto weight = static_cast<Weight>(masks[k]->weights[static_cast<size_t>(p)]);
      const auto chunk = static_cast<size_t>(group * stack.chunks + p / Layout::kChunkPixels) *
                         Layout::kChunkBytes;
      const size_t offset = Layout::OffsetOf(static_cast<int>(p % Layout::kChunkPixels),
                                             static_cast<int>(k % Layout::kMasks));
      std::memcpy(stack.weights.data() + chunk + offset, &weight, sizeof weight);
    }
  }
  return stack;
}

class MaskForm final : public DeviceForm {
 public:
  MaskForm(WeightKind kind, bool exact, DeviceMemory weights, int64_t groups, int64_t chunks,
           FrameTotals totals, StoreTotals store)
      : kind_(kind),
        exact_(exact),
        weights_(std::move(weights)),
        groups_(groups),
        chunks_(chunks),
        totals_(std::move(totals)),
        store_(std::move(store)) {}

  bool is_exact() const override { return exact_; }

  Status Begin(DeviceStream& stream, const Partition& partition) override {
    return totals_.Begin(stream, partition);
  }

  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    PENSTOCK_RETURN_IF_ERROR(stream.Launch(MaskProductCall{.frames = batch.frames,
                                                           .weight_kind = kind_,
                                                           .weights = weights_.get(),
                                                           .mask_groups = groups_,
                                                           .chunks = chunks_,
                                                           .partials = totals_.partials()}));
    return totals_.Add(stream, batch);
  }

  Status Fetch(DeviceStream& stream) override { return totals_.Fetch(stream); }
  void Store(Reduction::State& state) override { store_(state, totals_.Get()); }

 private:
  const WeightKind kind_;
  const bool exact_;
  const DeviceMemory weights_;
  const int64_t groups_;
  const int64_t chunks_;
  FrameTotals totals_;
  const StoreTotals store_;
};

}  // namespace

Result<std::unique_ptr<DeviceForm>> MakeMaskForm(const DeviceContext& context, MaskStack masks,
                                                 bool exact, StoreTotals store) {
  const ElementType type = context.plan.shape.element_type;
  const WeightKind kind = KindFor(type, masks, exact);
  PackedStack stack;
  const bool known = device_kernels::VisitMaskLayout(type, kind, [&](auto layout) {
    stack = Pack<decltype(layout)>(masks);
    return true;
  });
  if (!known || stack.groups > kMostMaskGroups) return std::unique_ptr<DeviceForm>();
  // The partial sums of mask k are those of its chunks.
  std::vector<int64_t> first(masks.size() + 1);
  for (size_t k = 0; k < first.size(); ++k) first[k] = static_cast<int64_t>(k) * stack.chunks;
  PENSTOCK_ASSIGN_OR_RETURN(auto totals,
                            FrameTotals::Make(context, exact, first,
                                              stack.groups * stack.masks_per_group * stack.chunks));
  PENSTOCK_ASSIGN_OR_RETURN(DeviceMemory weights,
                            Upload(context.device, stack.weights.data(), stack.weights.size()));
  return std::unique_ptr<DeviceForm>(
      std::make_unique<MaskForm>(kind, exact, std::move(weights), stack.groups, stack.chunks,
                                 std::move(totals), std::move(store)));
}

}  // namespace penstock
