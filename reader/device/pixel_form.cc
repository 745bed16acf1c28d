#include "reader/device/pixel_form.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace penstock {

namespace {

// Threads that a device can keep busy; where a frame has fewer pixels, several slices of the frames
// are added up side by side. Integers only: the order of the others' sums stays that of the frames.
constexpr int64_t kEnoughPixels = int64_t{1} << 18;
constexpr int64_t kMostSlices = 8;

int64_t PixelsOf(const DeviceContext& context) {
  return static_cast<int64_t>(context.frame_stride / ElementSize(context.plan.shape.element_type));
}

int64_t SlicesFor(int64_t pixels) {
  return std::clamp(kEnoughPixels / pixels, int64_t{1}, kMostSlices);
}

int64_t CountValid(const StagedBatch& batch) {
  return std::count_if(batch.valid, batch.valid + batch.frames.frame_count,
                       [](uint8_t valid) { return valid != 0; });
}

// Integer sums of several slices as one.
class SlicedSums {
 public:
  static Result<SlicedSums> Make(Device& device, int64_t pixels, int64_t slices) {
    SlicedSums sums;
    sums.totals_.resize(static_cast<size_t>(pixels));
    sums.slices_ = static_cast<size_t>(slices);
    PENSTOCK_ASSIGN_OR_RETURN(
        sums.memory_,
        FetchedMemory::Make(device, static_cast<size_t>(pixels * slices) * sizeof(uint64_t)));
    return sums;
  }

  FetchedMemory& memory() { return memory_; }
  uint64_t* on_device() const { return reinterpret_cast<uint64_t*>(memory_.on_device()); }

  std::span<const uint64_t> Get() {
    const uint64_t* const sums = memory_.As<uint64_t>();
    std::copy_n(sums, totals_.size(), totals_.begin());
    for (size_t slice = 1; slice < slices_; ++slice) {
      for (size_t p = 0; p < totals_.size(); ++p) totals_[p] += sums[slice * totals_.size() + p];
    }
    return totals_;
  }

 private:
  FetchedMemory memory_;
  size_t slices_ = 1;
  std::vector<uint64_t> totals_;
};

class IntegerSumForm final : public DeviceForm {
 public:
  IntegerSumForm(SlicedSums sums, int64_t slices, StoreSums store)
      : sums_(std::move(sums)), slices_(slices), store_(std::move(store)) {}

  bool is_exact() const override { return true; }
  Status Begin(DeviceStream& stream, const Partition&) override {
    frames_ = 0;
    return sums_.memory().Clear(stream);
  }
  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    frames_ += CountValid(batch);
    return stream.Launch(FrameSumsCall{batch.frames, slices_, sums_.memory().on_device()});
  }
  Status Fetch(DeviceStream& stream) override { return sums_.memory().Fetch(stream); }
  void Store(Reduction::State& state) override {
    store_(state, {.frames = frames_, .integers = sums_.Get()});
  }

 private:
  SlicedSums sums_;
  const int64_t slices_;
  const StoreSums store_;
  int64_t frames_ = 0;
};

class FloatSumForm final : public DeviceForm {
 public:
  FloatSumForm(FetchedMemory sums, size_t pixels, StoreSums store)
      : sums_(std::move(sums)), pixels_(pixels), store_(std::move(store)) {}

  bool is_exact() const override { return false; }
  Status Begin(DeviceStream& stream, const Partition&) override {
    frames_ = 0;
    return sums_.Clear(stream);
  }
  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    frames_ += CountValid(batch);
    return stream.Launch(FrameSumsCall{batch.frames, 1, sums_.on_device()});
  }
  Status Fetch(DeviceStream& stream) override { return sums_.Fetch(stream); }
  void Store(Reduction::State& state) override {
    store_(state, {.frames = frames_, .doubles = std::span(sums_.As<double>(), pixels_)});
  }

 private:
  FetchedMemory sums_;
  const size_t pixels_;
  const StoreSums store_;
  int64_t frames_ = 0;
};

class ExactMomentForm final : public DeviceForm {
 public:
  ExactMomentForm(SlicedSums sums, SlicedSums squares, int64_t slices, StoreMoments store)
      : sums_(std::move(sums)),
        squares_(std::move(squares)),
        slices_(slices),
        store_(std::move(store)) {}

  bool is_exact() const override { return true; }
  Status Begin(DeviceStream& stream, const Partition&) override {
    frames_ = 0;
    PENSTOCK_RETURN_IF_ERROR(sums_.memory().Clear(stream));
    return squares_.memory().Clear(stream);
  }
  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    frames_ += CountValid(batch);
    return stream.Launch(
        MomentsCall{batch.frames, slices_, sums_.on_device(), squares_.on_device()});
  }
  Status Fetch(DeviceStream& stream) override {
    PENSTOCK_RETURN_IF_ERROR(sums_.memory().Fetch(stream));
    return squares_.memory().Fetch(stream);
  }
  void Store(Reduction::State& state) override {
    store_(state, {.frames = frames_, .exact_sums = sums_.Get(), .exact_squares = squares_.Get()});
  }

 private:
  SlicedSums sums_;
  SlicedSums squares_;
  const int64_t slices_;
  const StoreMoments store_;
  int64_t frames_ = 0;
};

class ShiftedMomentForm final : public DeviceForm {
 public:
  ShiftedMomentForm(FetchedMemory shift, FetchedMemory sums, FetchedMemory squares, size_t pixels,
                    StoreMoments store)
      : shift_(std::move(shift)),
        sums_(std::move(sums)),
        squares_(std::move(squares)),
        pixels_(pixels),
        store_(std::move(store)) {}

  bool is_exact() const override { return false; }

  Status Begin(DeviceStream& stream, const Partition&) override {
    frames_ = 0;
    PENSTOCK_RETURN_IF_ERROR(shift_.Clear(stream));
    PENSTOCK_RETURN_IF_ERROR(sums_.Clear(stream));
    return squares_.Clear(stream);
  }

  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    const int64_t valid = CountValid(batch);
    if (valid == 0) return Status::Ok();
    if (frames_ == 0) {
      const uint8_t* const first = std::find_if(batch.valid, batch.valid + batch.frames.frame_count,
                                                [](uint8_t v) { return v != 0; });
      PENSTOCK_RETURN_IF_ERROR(
          stream.Launch(TakeShiftCall{batch.frames, first - batch.valid, Doubles(shift_)}));
    }
    frames_ += valid;
    return stream.Launch(
        ShiftedMomentsCall{batch.frames, Doubles(shift_), Doubles(sums_), Doubles(squares_)});
  }

  Status Fetch(DeviceStream& stream) override {
    PENSTOCK_RETURN_IF_ERROR(shift_.Fetch(stream));
    PENSTOCK_RETURN_IF_ERROR(sums_.Fetch(stream));
    return squares_.Fetch(stream);
  }

  void Store(Reduction::State& state) override {
    store_(state, {.frames = frames_,
                   .shift = std::span(shift_.As<double>(), pixels_),
                   .sums = std::span(sums_.As<double>(), pixels_),
                   .squares = std::span(squares_.As<double>(), pixels_)});
  }

 private:
  static double* Doubles(const FetchedMemory& memory) {
    return reinterpret_cast<double*>(memory.on_device());
  }

  FetchedMemory shift_;
  FetchedMemory sums_;
  FetchedMemory squares_;
  const size_t pixels_;
  const StoreMoments store_;
  int64_t frames_ = 0;
};

Result<FetchedMemory> DoublesFor(const DeviceContext& context) {
  return FetchedMemory::Make(context.device,
                             static_cast<size_t>(PixelsOf(context)) * sizeof(double));
}

}  // namespace

Result<std::unique_ptr<DeviceForm>> MakeSumForm(const DeviceContext& context, StoreSums store) {
  const int64_t pixels = PixelsOf(context);
  if (IsInteger(context.plan.shape.element_type)) {
    const int64_t slices = SlicesFor(pixels);
    PENSTOCK_ASSIGN_OR_RETURN(auto sums, SlicedSums::Make(context.device, pixels, slices));
    return std::unique_ptr<DeviceForm>(
        std::make_unique<IntegerSumForm>(std::move(sums), slices, std::move(store)));
  }
  PENSTOCK_ASSIGN_OR_RETURN(auto sums, DoublesFor(context));
  return std::unique_ptr<DeviceForm>(std::make_unique<FloatSumForm>(
      std::move(sums), static_cast<size_t>(pixels), std::move(store)));
}

Result<std::unique_ptr<DeviceForm>> MakeMomentForm(const DeviceContext& context,
                                                   StoreMoments store) {
  const ElementType type = context.plan.shape.element_type;
  const int64_t pixels = PixelsOf(context);
  if (type == ElementType::kUint8 || type == ElementType::kUint16) {
    const int64_t slices = SlicesFor(pixels);
    PENSTOCK_ASSIGN_OR_RETURN(auto sums, SlicedSums::Make(context.device, pixels, slices));
    PENSTOCK_ASSIGN_OR_RETURN(auto squares, SlicedSums::Make(context.device, pixels, slices));
    return std::unique_ptr<DeviceForm>(std::make_unique<ExactMomentForm>(
        std::move(sums), std::move(squares), slices, std::move(store)));
  }
  PENSTOCK_ASSIGN_OR_RETURN(auto shift, DoublesFor(context));
  PENSTOCK_ASSIGN_OR_RETURN(auto sums, DoublesFor(context));
  PENSTOCK_ASSIGN_OR_RETURN(auto squares, DoublesFor(context));
  return std::unique_ptr<DeviceForm>(
      std::make_unique<ShiftedMomentForm>(std::move(shift), std::move(sums), std::move(squares),
                                          static_cast<size_t>(pixels), std::move(store)));
}

}  // namespace penstock
