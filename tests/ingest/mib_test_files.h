// MIB files made for tests: headers, sidecars and an encoder of raw Merlin data that is written
// from the description of the format, not from the decoder.

#ifndef PENSTOCK_TESTS_INGEST_MIB_TEST_FILES_H_
#define PENSTOCK_TESTS_INGEST_MIB_TEST_FILES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

using Bytes = std::vector<std::byte>;

// A directory that is removed at the end.
class TestDirectory {
 public:
  TestDirectory();
  ~TestDirectory();
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::filesystem::path Write(const std::string& name, const Bytes& contents) const;
  std::filesystem::path Write(const std::string& name, const std::string& contents) const;

 private:
  std::filesystem::path path_;
};

// One frame header with every field in the form that Merlin writes.
struct TestHeader {
  int64_t sequence = 1;
  int header_bytes = 384;
  int chips = 1;
  int width = 16;
  int rows = 4;
  std::string type = "U16";
  std::string layout = "   1x1";
  std::string chip_select = "01";
  int depth = 12;
  bool short_form = false;  // one empty field in place of thresholds and chip settings
  int64_t time_ns = 0;      // after 2024-01-01T00:00:01Z
  int64_t exposure_ns = 1'000'000;
  char pad = '\0';

  std::string Text() const;  // without padding
  Bytes Padded() const;
};

// A processed frame of 16-bit pixels: pixel(y, x) = sequence * 1000 + y * width + x.
uint16_t TestPixel(const TestHeader& header, int y, int x);
Bytes ProcessedFrame(const TestHeader& header);
// `count` such frames, numbered from header.sequence, 1 ms apart.
Bytes ProcessedFrames(TestHeader header, int64_t count);

// The .hdr of an acquisition; entries replace, or with an empty value remove, the usual ones.
std::string TestSidecar(int64_t frames, int64_t frames_per_trigger,
                        const std::map<std::string, std::string>& entries = {});

// The synthetic pixels that the raw test files hold.
uint64_t RecipePixel(int64_t n, int64_t y, int64_t x, int depth);
// Two frames of raw data: rows of one chip, or of the four chips of a quad (image 2 rows x 512).
Bytes RawFile(bool quad, int depth, int chip_rows, bool gap_layout = false);
// The decoded image stack that such a file must give.
Bytes RecipeImages(bool quad, int depth, int chip_rows);

struct TestReport final : DecodeReport {
  void AddAnomaly(Anomaly anomaly) override;
  void AddFrameFacts(int64_t source_frame, const FrameHeaderFacts& facts) override;
  void MarkInvalid(int64_t source_frame, std::string_view reason) override;

  std::mutex mutex;
  std::vector<Anomaly> anomalies;
  std::map<int64_t, FrameHeaderFacts> facts;
  std::vector<int64_t> invalid;
};

Result<std::unique_ptr<FrameSource>> OpenMib(const std::filesystem::path& path,
                                             bool this_file_only = false);
// All frames, in calls of `frames_per_call`.
Result<Bytes> DecodeAll(const FrameSource& source, TestReport& report,
                        int64_t frames_per_call = 1'000'000'000,
                        RawBytesObserver* observer = nullptr);

std::string Sha256Hex(const Bytes& bytes);

bool Has(const std::vector<Anomaly>& anomalies, AnomalyKind kind, std::string_view text);
std::string Listed(const std::vector<Anomaly>& anomalies);

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_MIB_TEST_FILES_H_
