// penstock_decode_source OUT FRAMES_PER_CALL THREADS SOURCE [DATASET_PATH...]: the decoded frames
// of a source, as the pipeline would get them, without ingest. For each dataset path (one empty
// path where none is given) all frames go to OUT/INDEX.raw, and a line with the type, the number of
// frames and their rows and columns, the number of frames that are not valid, and seconds to
// standard output. OUT of "-" writes nothing: for measuring.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/ingest/registry.h"

namespace {

using namespace penstock;
using namespace penstock::ingest;

class Report final : public DecodeReport {
 public:
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t frame, std::string_view /*reason*/) override {
    const std::lock_guard lock(mutex_);
    invalid_.insert(frame);
  }
  size_t invalid() const { return invalid_.size(); }

 private:
  std::mutex mutex_;
  std::set<int64_t> invalid_;
};

int Fail(const Error& error) {
  std::printf("%s\n", error.ToString().c_str());
  return 1;
}

// Threads take neighbouring shares, as blocks are taken.
int Decode(const std::string& source_path, const std::string& dataset_path, int64_t frames_per_call,
           int threads, const std::filesystem::path& out) {
  OpenOptions options;
  options.dataset_path = dataset_path;
  const auto source = OpenSource(source_path, "", options);
  if (!source.ok()) return Fail(source.error());
  const SourceDescription& d = (*source)->description();
  const uint64_t frame_bytes =
      static_cast<uint64_t>(d.signal.pixel_count()) * ElementSize(d.element_type);
  const bool keep = out != "-";
  std::vector<std::byte> all(keep ? static_cast<uint64_t>(d.frame_count) * frame_bytes : 0);
  Report report;
  std::atomic<bool> failed{false};
  const auto began = std::chrono::steady_clock::now();
  const int64_t share = (d.frame_count + threads - 1) / threads;
  const auto work = [&](int64_t from) {
    DecodeContext context;
    context.report = &report;
    std::vector<std::byte> tile(keep ? 0 : static_cast<uint64_t>(frames_per_call) * frame_bytes);
    const int64_t end = std::min(d.frame_count, from + share);
    for (; from < end && !failed; from += frames_per_call) {
      const int64_t last = std::min(end, from + frames_per_call);
      const uint64_t bytes = static_cast<uint64_t>(last - from) * frame_bytes;
      const auto to = keep
                          ? std::span(all).subspan(static_cast<uint64_t>(from) * frame_bytes, bytes)
                          : std::span(tile).first(bytes);
      const Status done = (*source)->Decode(from, last, to, context);
      if (!done.ok() && !failed.exchange(true)) Fail(done.error());
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back(work, i * share);
  }
  if (failed) return 1;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  if (keep) {
    std::filesystem::remove(out);
    const Status written =
        WriteNewFile(out, std::string_view(reinterpret_cast<const char*>(all.data()), all.size()));
    if (!written.ok()) return Fail(written.error());
  }
  std::printf("%s %lld %lld %lld %zu %.4f\n", std::string(NumpyTypeString(d.element_type)).c_str(),
              static_cast<long long>(d.frame_count), static_cast<long long>(d.signal.rows),
              static_cast<long long>(d.signal.columns), report.invalid(), seconds.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const std::string out = argv[1];
  const int64_t frames = std::atoll(argv[2]);
  const int threads = std::atoi(argv[3]);
  int status = 0;
  for (int i = 5; i < std::max(argc, 6); ++i) {
    const std::filesystem::path file =
        out == "-" ? std::filesystem::path(out)
                   : std::filesystem::path(out) / (std::to_string(i - 5) + ".raw");
    status |= Decode(argv[4], i < argc ? argv[i] : "", frames, threads, file);
  }
  return status;
}
