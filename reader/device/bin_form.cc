#include "reader/device/bin_form.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace penstock {

namespace {

// What one thread adds up of a bin: long enough to be worth a sum, short enough that the bins of a
// frame keep many threads busy.
constexpr size_t kPiecePixels = 64;

// The pixels of each bin, cut into pieces; as PieceSumsCall has it.
struct Pieces {
  std::vector<uint32_t> pixels_of;
  std::vector<uint32_t> lengths;
  std::vector<int64_t> first;  // piece of each bin, and behind the last
};

Pieces CutIntoPieces(std::span<const uint32_t> bins, size_t bin_count) {
  std::vector<std::vector<uint32_t>> pixels(bin_count);
  for (size_t p = 0; p < bins.size(); ++p) {
    if (bins[p] < bin_count) pixels[bins[p]].push_back(static_cast<uint32_t>(p));
  }
  Pieces pieces;
  std::vector<std::span<const uint32_t>> cut;
  for (const std::vector<uint32_t>& of_bin : pixels) {
    pieces.first.push_back(static_cast<int64_t>(cut.size()));
    for (size_t at = 0; at < of_bin.size(); at += kPiecePixels) {
      cut.push_back(std::span(of_bin).subspan(at, std::min(kPiecePixels, of_bin.size() - at)));
    }
  }
  pieces.first.push_back(static_cast<int64_t>(cut.size()));
  pieces.pixels_of.resize(kPiecePixels * cut.size());
  for (size_t q = 0; q < cut.size(); ++q) {
    pieces.lengths.push_back(static_cast<uint32_t>(cut[q].size()));
    for (size_t i = 0; i < cut[q].size(); ++i) pieces.pixels_of[i * cut.size() + q] = cut[q][i];
  }
  return pieces;
}

class BinForm final : public DeviceForm {
 public:
  BinForm(bool exact, DeviceMemory pixels_of, DeviceMemory lengths, int64_t pieces,
          FrameTotals totals, StoreTotals store)
      : exact_(exact),
        pixels_of_(std::move(pixels_of)),
        lengths_(std::move(lengths)),
        pieces_(pieces),
        totals_(std::move(totals)),
        store_(std::move(store)) {}

  bool is_exact() const override { return exact_; }

  Status Begin(DeviceStream& stream, const Partition& partition) override {
    return totals_.Begin(stream, partition);
  }

  Status Add(DeviceStream& stream, const StagedBatch& batch) override {
    PENSTOCK_RETURN_IF_ERROR(stream.Launch(
        PieceSumsCall{.frames = batch.frames,
                      .pixels_of = reinterpret_cast<const uint32_t*>(pixels_of_.get()),
                      .lengths = reinterpret_cast<const uint32_t*>(lengths_.get()),
                      .pieces = pieces_,
                      .partials = totals_.partials()}));
    return totals_.Add(stream, batch);
  }

  Status Fetch(DeviceStream& stream) override { return totals_.Fetch(stream); }
  void Store(Reduction::State& state) override { store_(state, totals_.Get()); }

 private:
  const bool exact_;
  const DeviceMemory pixels_of_;
  const DeviceMemory lengths_;
  const int64_t pieces_;
  FrameTotals totals_;
  const StoreTotals store_;
};

Result<DeviceMemory> UploadNumbers(Device& device, const std::vector<uint32_t>& numbers) {
  return Upload(device, numbers.data(), numbers.size() * sizeof(uint32_t));
}

}  // namespace

Result<std::unique_ptr<DeviceForm>> MakeBinForm(const DeviceContext& context,
                                                std::span<const uint32_t> bins, size_t bin_count,
                                                StoreTotals store) {
  const Pieces pieces = CutIntoPieces(bins, bin_count);
  if (pieces.lengths.empty()) return std::unique_ptr<DeviceForm>();  // no pixel is in a bin
  const bool exact = IsInteger(context.plan.shape.element_type);
  const auto count = static_cast<int64_t>(pieces.lengths.size());
  PENSTOCK_ASSIGN_OR_RETURN(auto totals, FrameTotals::Make(context, exact, pieces.first, count));
  PENSTOCK_ASSIGN_OR_RETURN(auto pixels_of, UploadNumbers(context.device, pieces.pixels_of));
  PENSTOCK_ASSIGN_OR_RETURN(auto lengths, UploadNumbers(context.device, pieces.lengths));
  return std::unique_ptr<DeviceForm>(std::make_unique<BinForm>(
      exact, std::move(pixels_of), std::move(lengths), count, std::move(totals), std::move(store)));
}

}  // namespace penstock
