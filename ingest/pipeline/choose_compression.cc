#include "ingest/pipeline/choose_compression.h"

#include <algorithm>
#include <array>
#include <thread>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "penstock/dataset/chunk_index.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kSampledBytes = uint64_t{32} << 20;
constexpr int64_t kMostChunks = 32;

struct ChoiceText {
  CompressionChoice choice;
  std::string_view name;
};
constexpr std::array<ChoiceText, 4> kChoices = {{{CompressionChoice::kNone, "none"},
                                                 {CompressionChoice::kLz4, "lz4"},
                                                 {CompressionChoice::kZstd, "zstd"},
                                                 {CompressionChoice::kAutomatic, "auto"}}};

}  // namespace

std::string_view CompressionChoiceName(CompressionChoice choice) {
  return std::ranges::find(kChoices, choice, &ChoiceText::choice)->name;
}

Result<CompressionChoice> ParseCompressionChoice(std::string_view name) {
  const auto known = std::ranges::find(kChoices, name, &ChoiceText::name);
  if (known != kChoices.end()) return known->choice;
  return Error::InvalidArgument("this is not a way to compress frames")
      .Expected("lz4, zstd, none or auto")
      .Found("'" + std::string(name) + "'");
}

Result<CompressionDecision> ChooseCompression(const IngestPlan& plan,
                                              const std::filesystem::path& staging,
                                              const std::stop_token& stop) {
  const int64_t chunk_frames = GridFor(plan.shape, plan.grid, Compression::kLz4).inner_columns;
  const uint64_t chunk_bytes = static_cast<uint64_t>(chunk_frames) * plan.shape.frame_bytes();
  // Of a scan that is still being written, those that are there.
  const int64_t reached =
      std::min(plan.shape.frame_count(), plan.mapping.PositionsBefore(plan.mapping.NumberCount()));
  const int64_t chunks = std::max<int64_t>(reached / chunk_frames, 1);
  const int64_t sampled = std::clamp<int64_t>(static_cast<int64_t>(kSampledBytes / chunk_bytes), 1,
                                              std::min(kMostChunks, chunks));
  std::vector<std::byte> pixels(static_cast<size_t>(sampled) * chunk_bytes);
  size_t filled = 0;
  DecodeContext context;
  for (int64_t i = 0; i < sampled; ++i) {
    if (stop.stop_requested()) return Error::Cancelled("stopped");
    const int64_t position = (2 * i + 1) * chunks / (2 * sampled) * chunk_frames;
    const ScanMapping::Run run = plan.mapping.RunAt(position, chunk_frames);
    if (run.source < 0 || run.count != chunk_frames) continue;
    BlockReport report;
    context.report = &report;
    const Status decoded =
        plan.source->Decode(run.source, run.source + run.count,
                            std::span(pixels).subspan(filled, chunk_bytes), context);
    if (!decoded.ok() && decoded.error().kind() == ErrorKind::kIo) return decoded.error();
    if (decoded.ok()) filled += chunk_bytes;
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto measured,
                            MeasureCompression(ElementSize(plan.shape.element_type), chunk_bytes,
                                               std::span(pixels).first(filled)));
  if (measured.empty()) {
    return CompressionDecision{.reason = "there are no frames that compression could be tried on"};
  }
  PENSTOCK_ASSIGN_OR_RETURN(const double store_rate, MeasureStoreRate(staging));
  return DecideCompression(measured, store_rate,
                           static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

}  // namespace penstock::ingest
