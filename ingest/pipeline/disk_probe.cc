#include "ingest/pipeline/disk_probe.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "ingest/pipeline/binned_pattern.h"

namespace penstock::ingest {

namespace {

// A picture needs no finer search, and hot columns of a detector become one bin wide.
constexpr int64_t kLongestSide = 256;
constexpr int64_t kMostFrames = 64;
// Of the source, read in addition: this share of it, but always and at most so much.
constexpr uint64_t kShare = 64;
constexpr uint64_t kAlwaysBytes = uint64_t{4} << 20;
constexpr uint64_t kMostBytes = uint64_t{64} << 20;

int64_t ProbedFrames(const IngestPlan& plan) {
  const auto& chunks = plan.source->description().chunks;
  const auto together = static_cast<uint64_t>(chunks ? std::max<int64_t>(1, chunks->frames) : 1);
  const uint64_t budget = std::clamp(plan.shape.payload_bytes() / kShare, kAlwaysBytes, kMostBytes);
  return std::clamp<int64_t>(static_cast<int64_t>(budget / plan.shape.frame_bytes() / together), 1,
                             std::min(kMostFrames, plan.shape.frame_count()));
}

// Evenly spaced rows; columns by the golden section, which never falls into step with the scan.
int64_t ProbedPosition(const ScanShape& scan, int64_t index, int64_t count) {
  const double part = static_cast<double>(index) * 0.6180339887498949;
  const auto column = static_cast<int64_t>(static_cast<double>(scan.columns) *
                                           (part + 0.5 - std::floor(part + 0.5)));
  const auto row =
      static_cast<int64_t>(static_cast<double>(scan.rows) *
                           ((static_cast<double>(index) + 0.5) / static_cast<double>(count)));
  return std::min(row, scan.rows - 1) * scan.columns + std::min(column, scan.columns - 1);
}

void AddFrame(const DatasetShape& shape, std::span<const std::byte> bytes, BinnedPattern& pattern) {
  VisitElementType(shape.element_type, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_arithmetic_v<T>) {
      const auto* pixels = reinterpret_cast<const T*>(bytes.data());
      std::vector<double> row(static_cast<size_t>(shape.signal.columns));
      for (int64_t y = 0; y < shape.signal.rows; ++y) {
        std::transform(pixels, pixels + shape.signal.columns, row.begin(),
                       [](T value) { return static_cast<double>(value); });
        pattern.Add(y * shape.signal.columns, row);
        pixels += shape.signal.columns;
      }
    }
  });
}

}  // namespace

Result<DiskProbe> ProbeBrightDisk(const IngestPlan& plan, const std::stop_token& stop) {
  DiskProbe probe;
  const uint64_t frame_bytes = plan.shape.frame_bytes();
  auto buffer = AlignedBuffer::Allocate(frame_bytes);
  if (!buffer.ok()) {
    probe.search.reason = buffer.error().ToString();
    return probe;
  }
  BinnedPattern pattern(plan.shape.signal, kLongestSide);
  DecodeContext context;
  const int64_t count = ProbedFrames(plan);
  for (int64_t i = 0; i < count && !stop.stop_requested(); ++i) {
    const int64_t frame = plan.mapping.SourceFrame(ProbedPosition(plan.mapping.scan, i, count));
    if (frame < 0) continue;
    BlockReport report;
    context.report = &report;
    const std::span<std::byte> pixels = buffer->span().first(frame_bytes);
    const Status decoded = plan.source->Decode(frame, frame + 1, pixels, context);
    // A disk that fails now may work at the next try: the pictures must not depend on it.
    if (!decoded.ok() && decoded.error().kind() == ErrorKind::kIo) return decoded.error();
    if (!decoded.ok()) continue;
    if (report.IsInvalid(frame)) continue;
    AddFrame(plan.shape, pixels, pattern);
    ++probe.frames;
  }
  if (probe.frames == 0) {
    probe.search.reason = "none of the frames looked at can be used";
    return probe;
  }
  probe.search = FindBrightDisk(pattern.shape(), pattern.Mean(probe.frames), pattern.bin());
  return probe;
}

}  // namespace penstock::ingest
