#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "penstock/reader/operations.h"
#include "reader/operations/mask_engine.h"

namespace penstock {

namespace {

// Totals of the frames of one partition, [frame][mask].
struct MaskState final : Reduction::State {
  std::variant<std::vector<int64_t>, std::vector<double>> totals;
  std::vector<uint8_t> valid;  // per frame of the partition
  int64_t first_frame = 0;
};

std::vector<Mask> OfGoodPixels(std::vector<Mask> masks, const std::vector<uint8_t>& good) {
  for (Mask& mask : masks) {
    for (size_t p = 0; p < good.size(); ++p) {
      if (good[p] == 0) mask.weights[p] = 0;
    }
  }
  return masks;
}

}  // namespace

struct MaskReduction::Impl {
  std::vector<Mask> masks;
  std::unique_ptr<const MaskEngine> engine;
  ResultArray result;
  int64_t frame_count = 0;
  int64_t partition_frames = 0;
};

MaskReduction::MaskReduction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MaskReduction::~MaskReduction() = default;

Result<std::unique_ptr<MaskReduction>> MaskReduction::Create(std::vector<Mask> masks) {
  if (masks.empty()) return Error::InvalidArgument("no mask was given");
  for (const Mask& mask : masks) {
    if (mask.shape != masks.front().shape ||
        mask.weights.size() != static_cast<size_t>(mask.shape.pixel_count())) {
      return Error::InvalidArgument(
                 fmt::format("mask '{}' differs in shape from the first one", mask.name))
          .Expected(
              fmt::format("{} x {} weights", masks.front().shape.rows, masks.front().shape.columns))
          .Found(fmt::format("{} x {}, {} weights", mask.shape.rows, mask.shape.columns,
                             mask.weights.size()));
    }
  }
  auto impl = std::make_unique<Impl>();
  impl->masks = std::move(masks);
  return std::unique_ptr<MaskReduction>(new MaskReduction(std::move(impl)));
}

const std::vector<Mask>& MaskReduction::masks() const { return impl_->masks; }
const ResultArray& MaskReduction::result() const { return impl_->result; }

bool MaskReduction::IsOrderFree() const { return true; }  // every frame has its own values

Status MaskReduction::Begin(const PassPlan& plan) {
  const SignalShape& shape = impl_->masks.front().shape;
  if (shape != plan.shape.signal) {
    return Error::InvalidArgument("the masks do not fit the frames")
        .Expected(fmt::format("masks of {} x {} pixels", plan.shape.signal.rows,
                              plan.shape.signal.columns))
        .Found(fmt::format("{} x {}", shape.rows, shape.columns));
  }
  if (plan.good_pixels == nullptr) {
    PENSTOCK_ASSIGN_OR_RETURN(impl_->engine,
                              MaskEngine::Make(impl_->masks, plan.shape.element_type));
  } else {
    const std::vector<Mask> masks = OfGoodPixels(impl_->masks, *plan.good_pixels);
    PENSTOCK_ASSIGN_OR_RETURN(impl_->engine, MaskEngine::Make(masks, plan.shape.element_type));
  }
  impl_->frame_count = plan.shape.frame_count();
  impl_->partition_frames = plan.partition_frames;
  const auto masks = static_cast<int64_t>(impl_->masks.size());
  const ScanShape& scan = plan.shape.scan;
  impl_->result.shape = scan.is_series ? std::vector<int64_t>{masks, scan.frame_count()}
                                       : std::vector<int64_t>{masks, scan.rows, scan.columns};
  const auto size = static_cast<size_t>(masks * scan.frame_count());
  if (impl_->engine->is_exact()) {
    impl_->result.values.emplace<0>(size, 0);
  } else {
    impl_->result.values.emplace<1>(size, std::numeric_limits<double>::quiet_NaN());
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> MaskReduction::MakeState() const {
  auto state = std::make_unique<MaskState>();
  const size_t size = impl_->masks.size() * static_cast<size_t>(impl_->partition_frames);
  if (impl_->engine->is_exact()) {
    state->totals.emplace<0>(size);
  } else {
    state->totals.emplace<1>(size);
  }
  state->valid.resize(static_cast<size_t>(impl_->partition_frames));
  return state;
}

void MaskReduction::BeginPartition(State& state, const Partition& partition) const {
  auto& mine = static_cast<MaskState&>(state);
  mine.first_frame = partition.frames.first;
  std::visit([](auto& totals) { std::fill(totals.begin(), totals.end(), 0); }, mine.totals);
  std::fill(mine.valid.begin(), mine.valid.end(), uint8_t{0});
}

void MaskReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<MaskState&>(state);
  const auto first = static_cast<size_t>(tile.first_frame - mine.first_frame);
  std::copy_n(tile.valid, tile.frame_count, mine.valid.begin() + static_cast<ptrdiff_t>(first));
  std::visit(
      [&](auto& totals) {
        impl_->engine->Multiply(tile, totals.data() + first * impl_->masks.size());
      },
      mine.totals);
}

void MaskReduction::Merge(State& state, const Partition& partition) {
  const auto& mine = static_cast<const MaskState&>(state);
  const size_t masks = impl_->masks.size();
  const auto frames = static_cast<size_t>(partition.frames.last - partition.frames.first);
  const auto first = static_cast<size_t>(partition.frames.first);
  std::visit(
      [&](const auto& totals) {
        using Totals = std::decay_t<decltype(totals)>;
        using Total = typename Totals::value_type;
        auto& result = std::get<Totals>(impl_->result.values);
        for (size_t k = 0; k < masks; ++k) {
          const auto bias = static_cast<Total>(impl_->engine->bias()[k]);
          Total* const row = result.data() + k * static_cast<size_t>(impl_->frame_count) + first;
          for (size_t f = 0; f < frames; ++f) {
            if (mine.valid[f] != 0) row[f] = totals[f * masks + k] + bias;
          }
        }
      },
      mine.totals);
}

}  // namespace penstock
