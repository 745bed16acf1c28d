#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <deque>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "penstock/reader/frame_view.h"
#include "penstock/reader/operations.h"
#include "reader/device/mask_form.h"
#include "reader/operations/mask_engine.h"
#include "reader/operations/packed_mask_engine.h"
#include "reader/operations/sparse_mask_engine.h"

namespace penstock {

namespace {

using Totals = std::variant<std::vector<int64_t>, std::vector<double>>;

// Totals of the frames of one partition, [group][frame][part].
struct MaskState final : Reduction::State {
  std::vector<Totals> totals;
  std::vector<uint8_t> valid;  // per frame of the partition
  int64_t first_frame = 0;
};

// What an engine computes for one mask: its real or its imaginary part.
struct Part {
  size_t mask = 0;
  bool imaginary = false;
  bool is_whole = true;  // there is no other part
  double constant = 0;   // to be added to every sum: what a dark frame takes away
};

// Masks that share an engine: the dense ones, the sparse ones.
struct Group {
  std::unique_ptr<const MaskEngine> engine;
  std::vector<Part> parts;
};

// The masks as engines take them.
struct Stacks {
  std::vector<const Mask*> dense;
  std::deque<Mask> made;  // those of the dense ones that are not the caller's as they are
  std::vector<SparseMask> sparse;
  std::vector<Part> parts_of_dense;
  std::vector<Part> parts_of_sparse;
};

void KeepGoodPixels(Mask& mask, const std::vector<uint8_t>& good) {
  for (size_t p = 0; p < good.size(); ++p) {
    if (good[p] != 0) continue;
    mask.weights[p] = 0;
    if (mask.is_complex()) mask.imaginary[p] = 0;
  }
}

void KeepGoodPixels(SparseMask& mask, const std::vector<uint8_t>& good) {
  for (size_t e = 0; e < mask.pixels.size(); ++e) {
    if (good[static_cast<size_t>(mask.pixels[e])] != 0) continue;
    mask.weights[e] = 0;
    if (mask.is_complex()) mask.imaginary[e] = 0;
  }
}

void Reorder(std::vector<double>& weights, const std::vector<uint32_t>& order) {
  std::vector<double> reordered(weights.size());
  std::ranges::transform(order, reordered.begin(), [&](uint32_t pixel) { return weights[pixel]; });
  weights = std::move(reordered);
}

// The real and the imaginary part as masks of their own.
template <typename AMask>
void AddParts(FrameView::Folded<AMask> folded, size_t index, auto&& add, std::vector<Part>& parts) {
  AMask& mask = folded.mask;
  const bool is_complex = mask.is_complex();
  std::vector<double> imaginary = std::exchange(mask.imaginary, {});
  if (is_complex) {
    AMask other = mask;
    other.weights = std::move(imaginary);
    add(std::move(other));
    parts.push_back({index, true, false, folded.imaginary_constant});
  }
  add(std::move(mask));
  parts.push_back({index, false, !is_complex, folded.constant});
}

bool IsExact(const Group& group) {
  constexpr double kLargestExactDouble = 9007199254740992.0;  // 2^53
  return group.engine->is_exact() && std::ranges::all_of(group.parts, [](const Part& part) {
           return part.constant == std::floor(part.constant) &&
                  std::abs(part.constant) < kLargestExactDouble;
         });
}

bool IsWhole(const AnyMask& any) {
  const auto* const mask = std::get_if<Mask>(&any);
  return mask != nullptr && !mask->is_complex() &&
         std::ranges::all_of(mask->weights,
                             [](double weight) { return weight == std::floor(weight); });
}

std::optional<WeightRange> PackedRange(const std::vector<AnyMask>& masks) {
  WeightRange all;
  for (const AnyMask& any : masks) {
    const auto* const mask = std::get_if<Mask>(&any);
    const auto range = mask != nullptr ? RangeForPackedPixels(*mask) : std::nullopt;
    if (!range) return std::nullopt;
    all = {std::min(all.lowest, range->lowest), std::max(all.highest, range->highest)};
  }
  return all;
}

// In what forms the masks can have the pixels of a provider.
struct PixelUse {
  // Where the sums are exact: the last digits of others would depend on the order.
  bool any_order = false;
  std::optional<WeightRange> packed_range{};  // nothing: they have to be unpacked
};

template <typename To, typename Total>
void Store(To& value, Total total, const Part& part) {
  if constexpr (std::is_same_v<To, int64_t>) {
    value = static_cast<int64_t>(total) + static_cast<int64_t>(part.constant);
  } else {
    const double sum = static_cast<double>(total) + part.constant;
    if constexpr (std::is_same_v<To, double>) {
      value = sum;
    } else {
      auto* const parts = reinterpret_cast<double*>(&value);  // as the standard has std::complex
      parts[part.imaginary ? 1 : 0] = sum;
      if (part.is_whole) parts[1] = 0;
    }
  }
}

}  // namespace

struct MaskReduction::Impl {
  std::vector<AnyMask> masks;
  std::vector<std::string> names;
  bool complex = false;
  std::optional<PixelUse> pixel_use;  // once somebody has asked
  std::vector<Group> groups;
  ResultArray result;
  int64_t frame_count = 0;
  int64_t partition_frames = 0;

  // Looking at all weights takes a while, and a pass over a dataset need not know.
  const PixelUse& Use() {
    if (!pixel_use) {
      pixel_use.emplace().packed_range = PackedRange(masks);
      pixel_use->any_order =
          pixel_use->packed_range.has_value() || std::ranges::all_of(masks, &IsWhole);
    }
    return *pixel_use;
  }

  Stacks MakeStacks(const PassPlan& plan) const {
    Stacks stacks;
    const auto fold = [&]<typename AMask>(AMask mask) {
      return plan.view == nullptr ? FrameView::Folded<AMask>{std::move(mask)}
                                  : plan.view->Fold(mask);
    };
    const bool as_they_are =
        plan.view == nullptr && plan.good_pixels == nullptr && plan.pixel_order == nullptr;
    const auto add_dense = [&](Mask mask) {
      if (plan.pixel_order != nullptr) Reorder(mask.weights, *plan.pixel_order);
      stacks.dense.push_back(&stacks.made.emplace_back(std::move(mask)));
    };
    const auto add_sparse = [&](SparseMask mask) { stacks.sparse.push_back(std::move(mask)); };
    for (size_t k = 0; k < masks.size(); ++k) {
      const auto* const whole = std::get_if<Mask>(&masks[k]);
      if (as_they_are && whole != nullptr && !whole->is_complex()) {
        stacks.dense.push_back(whole);
        stacks.parts_of_dense.push_back({.mask = k});
        continue;
      }
      AnyMask mask = masks[k];
      if (plan.good_pixels != nullptr) {
        std::visit([&](auto& one) { KeepGoodPixels(one, *plan.good_pixels); }, mask);
      }
      auto* const few = std::get_if<SparseMask>(&mask);
      if (few != nullptr && !IsBetterDense(*few)) {
        AddParts(fold(std::move(*few)), k, add_sparse, stacks.parts_of_sparse);
      } else {
        Mask all = few != nullptr ? Dense(*few) : std::get<Mask>(std::move(mask));
        AddParts(fold(std::move(all)), k, add_dense, stacks.parts_of_dense);
      }
    }
    return stacks;
  }

  void MakePackedGroup(const PassPlan& plan) {
    std::vector<const Mask*> dense;
    Group group;
    for (size_t k = 0; k < masks.size(); ++k) {
      dense.push_back(&std::get<Mask>(masks[k]));
      group.parts.push_back({.mask = k});
    }
    group.engine = MakePackedMaskEngine(dense, *Use().packed_range, plan);
    groups.push_back(std::move(group));
  }

  Status MakeGroups(const PassPlan& plan) {
    groups.clear();
    if (plan.packed_run > 0) {
      MakePackedGroup(plan);
      return Status::Ok();
    }
    Stacks stacks = MakeStacks(plan);
    const ElementType type =
        plan.view == nullptr ? plan.shape.element_type : plan.view->stored().element_type;
    if (!stacks.dense.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(auto engine,
                                MaskEngine::Make(stacks.dense, type, TileSize::Of(plan)));
      groups.push_back({std::move(engine), std::move(stacks.parts_of_dense)});
    }
    if (!stacks.sparse.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(auto engine,
                                MakeSparseMaskEngine(stacks.sparse, type, plan.tile_pixels));
      groups.push_back({std::move(engine), std::move(stacks.parts_of_sparse)});
    }
    return Status::Ok();
  }

  // Totals of all parts without the bias, which Add puts in.
  void Take(MaskState& state, const FetchedTotals& fetched) const {
    std::ranges::copy(fetched.valid, state.valid.begin());
    const std::vector<int64_t>& bias = groups.front().engine->bias();
    std::visit(
        [&](const auto& sums, auto& totals) {
          using Total = typename std::decay_t<decltype(totals)>::value_type;
          for (size_t i = 0; i < totals.size(); ++i) {
            totals[i] = static_cast<Total>(sums[i]) -
                        static_cast<Total>(bias[i % groups.front().parts.size()]);
          }
        },
        fetched.values, state.totals.front());
  }

  void MakeResult(const ScanShape& scan) {
    const auto count = static_cast<int64_t>(masks.size());
    result.shape = scan.is_series ? std::vector<int64_t>{count, scan.frame_count()}
                                  : std::vector<int64_t>{count, scan.rows, scan.columns};
    const auto size = static_cast<size_t>(count * scan.frame_count());
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    if (complex) {
      result.values.emplace<2>(size, std::complex<double>(kNan, kNan));
    } else if (std::ranges::all_of(groups, &IsExact)) {
      result.values.emplace<0>(size, 0);
    } else {
      result.values.emplace<1>(size, kNan);
    }
  }

  void Add(const Group& group, const Totals& all, const MaskState& state, size_t first,
           size_t frames) {
    const size_t parts = group.parts.size();
    std::visit(
        [&](const auto& totals, auto& values) {
          using Total = typename std::decay_t<decltype(totals)>::value_type;
          using Value = typename std::decay_t<decltype(values)>::value_type;
          for (size_t i = 0; i < parts; ++i) {
            const Part part = group.parts[i];
            const auto bias = static_cast<Total>(group.engine->bias()[i]);
            Value* const row = values.data() + part.mask * static_cast<size_t>(frame_count) + first;
            for (size_t f = 0; f < frames; ++f) {
              if (state.valid[f] == 0) continue;
              Store(row[f], totals[f * parts + i] + bias, part);
            }
          }
        },
        all, result.values);
  }
};

MaskReduction::MaskReduction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MaskReduction::~MaskReduction() = default;

Result<std::unique_ptr<MaskReduction>> MaskReduction::Create(std::vector<Mask> masks) {
  return CreateMixed(
      {std::make_move_iterator(masks.begin()), std::make_move_iterator(masks.end())});
}

Result<std::unique_ptr<MaskReduction>> MaskReduction::CreateMixed(std::vector<AnyMask> masks) {
  if (masks.empty()) return Error::InvalidArgument("no mask was given");
  auto impl = std::make_unique<Impl>();
  const SignalShape shape = ShapeOf(masks.front());
  for (const AnyMask& mask : masks) {
    if (ShapeOf(mask) != shape) {
      return Error::InvalidArgument(
                 fmt::format("mask '{}' differs in shape from the first one", NameOf(mask)))
          .Expected(fmt::format("{} x {} weights", shape.rows, shape.columns))
          .Found(fmt::format("{} x {}", ShapeOf(mask).rows, ShapeOf(mask).columns));
    }
    PENSTOCK_RETURN_IF_ERROR(Validate(mask));
    impl->names.push_back(NameOf(mask));
    impl->complex =
        impl->complex || std::visit([](const auto& one) { return one.is_complex(); }, mask);
  }
  impl->masks = std::move(masks);
  return std::unique_ptr<MaskReduction>(new MaskReduction(std::move(impl)));
}

const std::vector<std::string>& MaskReduction::names() const { return impl_->names; }
const ResultArray& MaskReduction::result() const { return impl_->result; }

bool MaskReduction::IsOrderFree() const { return true; }  // every frame has its own values

bool MaskReduction::FoldsView(const FrameView& view) const { return view.IsFoldable(); }

bool MaskReduction::TakesPixelOrder() const { return impl_->Use().any_order; }
bool MaskReduction::TakesPackedPixels() const { return impl_->Use().packed_range.has_value(); }

Status MaskReduction::Begin(const PassPlan& plan) {
  const SignalShape shape = ShapeOf(impl_->masks.front());
  if (shape != plan.shape.signal) {
    return Error::InvalidArgument("the masks do not fit the frames")
        .Expected(fmt::format("masks of {} x {} pixels", plan.shape.signal.rows,
                              plan.shape.signal.columns))
        .Found(fmt::format("{} x {}", shape.rows, shape.columns));
  }
  PENSTOCK_RETURN_IF_ERROR(impl_->MakeGroups(plan));
  impl_->frame_count = plan.shape.frame_count();
  impl_->partition_frames = plan.partition_frames;
  impl_->MakeResult(plan.shape.scan);
  return Status::Ok();
}

std::unique_ptr<Reduction::State> MaskReduction::MakeState() const {
  auto state = std::make_unique<MaskState>();
  for (const Group& group : impl_->groups) {
    const size_t size = group.parts.size() * static_cast<size_t>(impl_->partition_frames);
    if (group.engine->is_exact()) {
      state->totals.emplace_back(std::vector<int64_t>(size));
    } else {
      state->totals.emplace_back(std::vector<double>(size));
    }
  }
  state->valid.resize(static_cast<size_t>(impl_->partition_frames));
  return state;
}

void MaskReduction::BeginPartition(State& state, const Partition& partition) const {
  auto& mine = static_cast<MaskState&>(state);
  mine.first_frame = partition.frames.first;
  for (Totals& totals : mine.totals) {
    std::visit([](auto& values) { std::fill(values.begin(), values.end(), 0); }, totals);
  }
  std::fill(mine.valid.begin(), mine.valid.end(), uint8_t{0});
}

void MaskReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<MaskState&>(state);
  const auto first = static_cast<size_t>(tile.first_frame - mine.first_frame);
  std::copy_n(tile.valid, tile.frame_count, mine.valid.begin() + static_cast<ptrdiff_t>(first));
  for (size_t g = 0; g < impl_->groups.size(); ++g) {
    const Group& group = impl_->groups[g];
    std::visit(
        [&](auto& totals) {
          group.engine->Multiply(tile, totals.data() + first * group.parts.size());
        },
        mine.totals[g]);
  }
}

void MaskReduction::ProcessPacked(State& state, const PackedTile& tile) const {
  auto& mine = static_cast<MaskState&>(state);
  const auto first = static_cast<size_t>(tile.first_frame - mine.first_frame);
  std::copy_n(tile.valid, tile.frame_count, mine.valid.begin() + static_cast<ptrdiff_t>(first));
  const Group& group = impl_->groups.front();
  auto& totals = std::get<std::vector<int64_t>>(mine.totals.front());
  group.engine->Multiply(tile, totals.data() + first * group.parts.size());
}

void MaskReduction::Merge(State& state, const Partition& partition) {
  const auto& mine = static_cast<const MaskState&>(state);
  const auto frames = static_cast<size_t>(partition.frames.last - partition.frames.first);
  for (size_t g = 0; g < impl_->groups.size(); ++g) {
    impl_->Add(impl_->groups[g], mine.totals[g], mine, static_cast<size_t>(partition.frames.first),
               frames);
  }
}

Result<std::unique_ptr<DeviceForm>> MaskReduction::MakeDeviceForm(
    const DeviceContext& context) const {
  const Stacks stacks = impl_->MakeStacks(context.plan);
  if (!stacks.sparse.empty()) return std::unique_ptr<DeviceForm>();
  return MakeMaskForm(context, stacks.dense, impl_->groups.front().engine->is_exact(),
                      [this](State& state, const FetchedTotals& totals) {
                        impl_->Take(static_cast<MaskState&>(state), totals);
                      });
}

}  // namespace penstock
