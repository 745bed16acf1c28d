#include "ingest/compress/measure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <random>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"

namespace penstock::ingest {

namespace {

constexpr double kGiB = 1 << 30;
constexpr uint64_t kProbeBytes = uint64_t{32} << 20;
constexpr uint64_t kProbePart = uint64_t{4} << 20;
constexpr double kLongEnough = 0.5;  // seconds, of one probe
constexpr double kNearlyAsFast = 0.9;
// Frames that are hardly smaller are not worth what every later reader has to do.
constexpr double kWorthwhileRatio = 1.2;

double ProcessorSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<CompressionMeasurement> Measure(Compression compression, size_t element_bytes,
                                       size_t chunk_bytes, std::span<const std::byte> pixels) {
  std::vector<std::vector<std::byte>> chunks;
  std::vector<std::byte> stored(StoredChunkLimit(chunk_bytes));
  uint64_t stored_bytes = 0;
  for (size_t at = 0; at + chunk_bytes <= pixels.size(); at += chunk_bytes) {
    PENSTOCK_ASSIGN_OR_RETURN(
        const size_t bytes,
        CompressChunk(compression, element_bytes, pixels.subspan(at, chunk_bytes), stored));
    chunks.emplace_back(stored.begin(), stored.begin() + static_cast<ptrdiff_t>(bytes));
    stored_bytes += bytes;
  }
  ChunkDecoder decoder;
  std::vector<std::byte> decoded(chunk_bytes);
  // The first one warms up.
  PENSTOCK_RETURN_IF_ERROR(decoder.Decode(element_bytes, chunks.front(), decoded));
  const double began = ProcessorSeconds();
  for (const std::vector<std::byte>& chunk : chunks) {
    PENSTOCK_RETURN_IF_ERROR(decoder.Decode(element_bytes, chunk, decoded));
  }
  const double seconds = std::max(ProcessorSeconds() - began, 1e-9);
  const auto bytes = static_cast<double>(chunks.size() * chunk_bytes);
  return CompressionMeasurement{.compression = compression,
                                .ratio = bytes / static_cast<double>(stored_bytes),
                                .decode_rate = bytes / seconds};
}

}  // namespace

Result<std::vector<CompressionMeasurement>> MeasureCompression(size_t element_bytes,
                                                               size_t chunk_bytes,
                                                               std::span<const std::byte> pixels) {
  std::vector<CompressionMeasurement> measured;
  if (chunk_bytes > kLargestCompressedChunk || pixels.size() < chunk_bytes) return measured;
  for (const Compression compression : {Compression::kLz4, Compression::kZstd}) {
    PENSTOCK_ASSIGN_OR_RETURN(measured.emplace_back(),
                              Measure(compression, element_bytes, chunk_bytes, pixels));
  }
  return measured;
}

Result<double> MeasureStoreRate(const std::filesystem::path& directory) {
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer buffer, AlignedBuffer::Allocate(kProbePart));
  // Nothing that a file system could compress.
  std::mt19937_64 random(1);
  for (size_t at = 0; at + sizeof(uint64_t) <= buffer.size(); at += sizeof(uint64_t)) {
    const uint64_t value = random();
    std::memcpy(buffer.data() + at, &value, sizeof value);
  }
  const std::filesystem::path path = directory / "rate.probe";
  struct Remover {
    const std::filesystem::path& path;
    ~Remover() { unlink(path.c_str()); }
  } const remover{path};
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDWR | O_CREAT | O_TRUNC));
  const auto set_direct = [&fd](bool direct) {
    const int flags = fcntl(fd.get(), F_GETFL);
    fcntl(fd.get(), F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT);
  };
  set_direct(true);
  uint64_t written = 0;
  for (const double began = Seconds(); written < kProbeBytes; written += kProbePart) {
    Status part = WriteFully(fd.get(), written, buffer.span().first(kProbePart), path);
    if (!part.ok() && part.error().system_errno() == EINVAL) {
      set_direct(false);  // some file systems take the flag and refuse the write
      part = WriteFully(fd.get(), written, buffer.span().first(kProbePart), path);
    }
    PENSTOCK_RETURN_IF_ERROR(part);
    if (written > 0 && Seconds() - began > kLongEnough) break;
  }
  written = std::min(written, kProbeBytes);
  written = std::max(written, kProbePart);
  if (fdatasync(fd.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(path.string());
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  uint64_t read = 0;
  const double began = Seconds();
  while (read < written && (read == 0 || Seconds() - began < kLongEnough)) {
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), read, buffer.span().first(kProbePart), path));
    read += kProbePart;
  }
  return static_cast<double>(read) / std::max(Seconds() - began, 1e-9);
}

CompressionDecision DecideCompression(const std::vector<CompressionMeasurement>& measured,
                                      double store_rate, int processors) {
  const auto rate = [&](const CompressionMeasurement& each) {
    return std::min(store_rate * each.ratio, each.decode_rate * processors);
  };
  double fastest = store_rate;
  for (const CompressionMeasurement& each : measured) {
    if (each.ratio >= kWorthwhileRatio) fastest = std::max(fastest, rate(each));
  }
  CompressionDecision decision;
  double ratio = kWorthwhileRatio;
  for (const CompressionMeasurement& each : measured) {
    if (rate(each) < kNearlyAsFast * fastest || each.ratio < ratio) continue;
    decision.compression = each.compression;
    ratio = each.ratio;
  }
  decision.reason = fmt::format("the store reads {:.2f} GiB/s", store_rate / kGiB);
  for (const CompressionMeasurement& each : measured) {
    decision.reason += fmt::format(
        "; {}: {:.1f} times smaller, decodes {:.2f} GiB/s per processor, {:.2f} GiB/s "
        "in all",
        CompressionName(each.compression), each.ratio, each.decode_rate / kGiB, rate(each) / kGiB);
  }
  decision.reason += fmt::format(" ({} processors)", processors);
  return decision;
}

}  // namespace penstock::ingest
