#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "ingest/formats/mib/mib_writer.h"
#include "ingest/simulate/frame_simulator.h"
#include "penstock/base/file.h"
#include "penstock/ingest/simulate.h"

namespace penstock::ingest {

namespace {

using simulate::FrameSimulator;
using simulate::Scattering;

// Simulated acquisitions all begin at the same moment, so that equal options give equal bytes.
constexpr int64_t kStartUnixNs = 1'767'268'800'000'000'000;  // 2026-01-01T12:00:00Z
constexpr uint64_t kBatchBytes = uint64_t{2} << 20;
constexpr double kMaxMeanCounts = 500;  // keeps a 16-bit count from overflowing
constexpr int64_t kMinSide = 16;
constexpr int64_t kMaxSide = 2048;

Status Validate(const SimulationOptions& options) {
  const auto refuse = [](std::string what, std::string expected, std::string found) {
    return Error::InvalidArgument(std::move(what))
        .Expected(std::move(expected))
        .Found(std::move(found));
  };
  const DatasetShape shape{options.scan, options.signal, ElementType::kUint32};
  PENSTOCK_RETURN_IF_ERROR(shape.Validate());
  for (const int64_t side : {options.signal.rows, options.signal.columns}) {
    if (side < kMinSide || side > kMaxSide) {
      return refuse("the frames cannot have this size",
                    fmt::format("sides from {} to {} pixels", kMinSide, kMaxSide),
                    fmt::format("{} x {}", options.signal.rows, options.signal.columns));
    }
  }
  if (!(options.mean_counts > 0 && options.mean_counts <= kMaxMeanCounts)) {
    return refuse("the mean count is out of range",
                  fmt::format("more than 0 and at most {} electrons per pixel", kMaxMeanCounts),
                  fmt::format("{}", options.mean_counts));
  }
  if (!(options.lattice_period >= 2 && options.lattice_period <= 1e6)) {
    return refuse("the lattice period is out of range", "2 to 1000000 scan positions",
                  fmt::format("{}", options.lattice_period));
  }
  const int depth = options.bit_depth;
  if (depth != 1 && depth != 6 && depth != 12 && depth != 24) {
    return refuse("Merlin has no counter of this depth", "1, 6, 12 or 24 bits",
                  std::to_string(depth));
  }
  return Status::Ok();
}

// Clips at the counter's range and writes big-endian; returns the number of clipped pixels.
uint64_t StorePixels(std::span<const uint16_t> counts, int depth, std::byte* destination) {
  const uint32_t largest = (uint32_t{1} << depth) - 1;
  uint64_t clipped = 0;
  const auto store = [&](auto zero) {
    using Pixel = decltype(zero);
    for (size_t i = 0; i < counts.size(); ++i) {
      const uint32_t count = counts[i];
      clipped += count > largest ? 1 : 0;
      auto pixel = static_cast<Pixel>(std::min(count, largest));
      if constexpr (std::endian::native == std::endian::little) {
        if constexpr (sizeof(Pixel) == 2) pixel = __builtin_bswap16(pixel);
        if constexpr (sizeof(Pixel) == 4) pixel = __builtin_bswap32(pixel);
      }
      std::memcpy(destination + i * sizeof(Pixel), &pixel, sizeof(Pixel));
    }
  };
  if (depth <= 6) {
    store(uint8_t{});
  } else if (depth <= 12) {
    store(uint16_t{});
  } else {
    store(uint32_t{});
  }
  return clipped;
}

// Removes the unfinished file unless told that it has got its name.
class PartFile {
 public:
  explicit PartFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~PartFile() {
    if (!kept_) ::unlink(path_.c_str());
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void Keep() { kept_ = true; }

 private:
  std::filesystem::path path_;
  bool kept_ = false;
};

// Writes the frames of one simulation, batch by batch, from several threads.
class MibSimulation {
 public:
  MibSimulation(const SimulationOptions& options, const MibWriteSettings& settings, int fd,
                const std::filesystem::path& path, ProgressSink& progress, std::stop_token stop)
      : options_(options),
        settings_(settings),
        simulator_(options),
        fd_(fd),
        path_(path),
        progress_(progress),
        stop_(std::move(stop)) {}

  Result<SimulationSummary> Run() {
    unsigned threads =
        options_.threads != 0 ? options_.threads : std::thread::hardware_concurrency();
    threads = std::clamp(threads, 1U, 256U);
    {
      std::vector<std::jthread> workers;
      for (unsigned i = 1; i < threads; ++i) workers.emplace_back([this] { Work(); });
      Work();
    }
    if (error_) return *std::move(error_);
    if (stop_.stop_requested()) return Error::Cancelled("the simulation was cancelled");
    SimulationSummary summary;
    summary.frames = options_.scan.frame_count();
    summary.bytes = static_cast<uint64_t>(summary.frames) * settings_.RecordBytes();
    summary.electrons = electrons_;
    summary.clipped_pixels = clipped_;
    return summary;
  }

 private:
  void Work() {
    const size_t record_bytes = settings_.RecordBytes();
    const int64_t frames = options_.scan.frame_count();
    const int64_t batch = std::max<int64_t>(1, static_cast<int64_t>(kBatchBytes / record_bytes));
    std::vector<std::byte> records(static_cast<size_t>(batch) * record_bytes);
    std::vector<uint16_t> counts(static_cast<size_t>(options_.signal.pixel_count()));
    Scattering scattering;
    while (!stop_.stop_requested() && !failed_.load(std::memory_order_relaxed)) {
      const int64_t first = next_frame_.fetch_add(batch, std::memory_order_relaxed);
      if (first >= frames) return;
      const int64_t last = std::min(frames, first + batch);
      uint64_t electrons = 0;
      uint64_t clipped = 0;
      std::byte* record = records.data();
      for (int64_t frame = first; frame < last; ++frame, record += record_bytes) {
        WriteMibHeader(settings_, frame, {record, settings_.HeaderBytes()});
        electrons += simulator_.Draw(frame, counts, scattering);
        clipped += StorePixels(counts, options_.bit_depth, record + settings_.HeaderBytes());
      }
      const auto bytes =
          std::span<const std::byte>(records).first(static_cast<size_t>(record - records.data()));
      const Status written =
          WriteFully(fd_, static_cast<uint64_t>(first) * record_bytes, bytes, path_);
      if (!written.ok()) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = written.error();
        failed_ = true;
        return;
      }
      electrons_ += electrons;
      clipped_ += clipped;
      progress_.Advance(bytes.size());
    }
  }

  const SimulationOptions& options_;
  const MibWriteSettings& settings_;
  const FrameSimulator simulator_;
  const int fd_;
  const std::filesystem::path& path_;
  ProgressSink& progress_;
  const std::stop_token stop_;
  std::atomic<int64_t> next_frame_{0};
  std::atomic<uint64_t> electrons_{0};
  std::atomic<uint64_t> clipped_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Error> error_;
};

Status RefuseExisting(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    return Status::Ok();
  }
  return Error::AlreadyExists("the file exists")
      .In(path.string())
      .Advice("choose another name, or give --replace");
}

// Space is claimed before the work, so that a full disk is known at once.
Status ReserveSpace(int fd, uint64_t bytes, const std::filesystem::path& path) {
  if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0) return Status::Ok();
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return Status::Ok();
  return Error::FromErrno(errno, fmt::format("cannot reserve {} bytes", bytes)).In(path.string());
}

}  // namespace

Result<SimulationSummary> SimulateMib(const std::filesystem::path& path,
                                      const SimulationOptions& options, ProgressSink& progress,
                                      std::stop_token stop) {
  PENSTOCK_RETURN_IF_ERROR(Validate(options));
  if (path.extension() != ".mib") {
    return Error::InvalidArgument("the simulator writes MIB files")
        .In(path.string())
        .Expected("a name that ends with .mib")
        .Found(path.filename().string());
  }
  std::filesystem::path sidecar = path;
  sidecar.replace_extension(".hdr");
  if (!options.replace) {
    PENSTOCK_RETURN_IF_ERROR(RefuseExisting(path));
    PENSTOCK_RETURN_IF_ERROR(RefuseExisting(sidecar));
  }
  MibWriteSettings settings;
  settings.signal = options.signal;
  settings.scan = options.scan;
  settings.counter_depth = options.bit_depth;
  settings.start_unix_ns = kStartUnixNs;
  settings.flyback_ns = 5 * settings.frame_period_ns;
  const uint64_t bytes = static_cast<uint64_t>(options.scan.frame_count()) * settings.RecordBytes();

  std::filesystem::path part_path = path;
  part_path += ".part";
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd,
                            OpenFile(part_path, O_WRONLY | O_CREAT | O_TRUNC));
  PartFile part(part_path);
  PENSTOCK_RETURN_IF_ERROR(ReserveSpace(fd.get(), bytes, part.path()));
  progress.Begin("simulate " + path.filename().string(), bytes);
  Result<SimulationSummary> summary =
      MibSimulation(options, settings, fd.get(), part.path(), progress, std::move(stop)).Run();
  progress.End();
  if (!summary.ok()) return std::move(summary).error();

  PENSTOCK_RETURN_IF_ERROR(WriteFileAtomically(sidecar, MibSidecarText(settings)));
  if (::rename(part.path().c_str(), path.c_str()) != 0) {
    return Error::FromErrno(errno, "cannot rename the finished file").In(path.string());
  }
  part.Keep();
  return summary;
}

}  // namespace penstock::ingest
