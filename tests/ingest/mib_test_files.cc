#include "tests/ingest/mib_test_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "ingest/formats/mib/mib_format.h"

namespace penstock::ingest {

TestDirectory::TestDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "penstock_mib_XXXXXX";
  path_ = mkdtemp(pattern.data());
}

TestDirectory::~TestDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TestDirectory::Write(const std::string& name, const Bytes& contents) const {
  std::filesystem::remove(path_ / name);  // quicker than overwriting: nothing is flushed
  std::ofstream(path_ / name, std::ios::binary)
      .write(reinterpret_cast<const char*>(contents.data()),
             static_cast<std::streamsize>(contents.size()));
  return path_ / name;
}

std::filesystem::path TestDirectory::Write(const std::string& name,
                                           const std::string& contents) const {
  Bytes bytes(contents.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), contents.data(), bytes.size());
  return Write(name, bytes);
}

std::string TestHeader::Text() const {
  std::string text = fmt::format(
      "MQ1,{:06},{:05},{:02},{:04},{:04},{},{},{},2024-01-01 00:00:01.000000,{:.6f},0,0,0,",
      sequence, header_bytes, chips, width, rows, type, layout, chip_select,
      static_cast<double>(exposure_ns) / 1e9);
  if (short_form) {
    text += ",";
  } else {
    text +=
        "2.000000E+0,5.110000E+2,0.000000E+0,0.000000E+0,0.000000E+0,0.000000E+0,0.000000E+0,"
        "0.000000E+0,";
    for (int chip = 0; chip < chips; ++chip) {
      text += "3RX,";
      for (int dac = 0; dac < 27; ++dac) text += "111,";
    }
  }
  text += fmt::format("MQ1A,2024-01-01T00:00:{:02}.{:09}Z,{}ns,{},", 1 + time_ns / 1'000'000'000,
                      time_ns % 1'000'000'000, exposure_ns, depth);
  return text;
}

Bytes TestHeader::Padded() const {
  std::string text = Text();
  text.resize(static_cast<size_t>(header_bytes), pad);
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

uint16_t TestPixel(const TestHeader& header, int y, int x) {
  return static_cast<uint16_t>(header.sequence * 1000 + y * header.width + x);
}

Bytes ProcessedFrame(const TestHeader& header) {
  Bytes bytes = header.Padded();
  for (int y = 0; y < header.rows; ++y) {
    for (int x = 0; x < header.width; ++x) {
      const uint16_t value = TestPixel(header, y, x);
      bytes.push_back(static_cast<std::byte>(value >> 8));
      bytes.push_back(static_cast<std::byte>(value));
    }
  }
  return bytes;
}

Bytes ProcessedFrames(TestHeader header, int64_t count) {
  Bytes bytes;
  for (int64_t i = 0; i < count; ++i) {
    const Bytes frame = ProcessedFrame(header);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    ++header.sequence;
    header.time_ns += 1'000'000;
  }
  return bytes;
}

std::string TestSidecar(int64_t frames, int64_t frames_per_trigger,
                        const std::map<std::string, std::string>& entries) {
  std::map<std::string, std::string> all = {
      {"Frames in Acquisition (Number)", std::to_string(frames)},
      {"Frames per Trigger (Number)", std::to_string(frames_per_trigger)},
      {"Counter Depth (number)", "12"},
      {"Assembly Size (NX1, 2X2)", "   1x1"},
      {"Sensor Bias (V)", "120 V"}};
  for (const auto& [key, value] : entries) all[key] = value;
  std::string text = "HDR,\t\r\n";
  for (const auto& [key, value] : all) {
    if (!value.empty()) text += fmt::format("{}:\t{}\r\n", key, value);
  }
  text += "End\t";
  text.resize(std::max<size_t>(2048, text.size()), ' ');
  return text;
}

uint64_t RecipePixel(int64_t n, int64_t y, int64_t x, int depth) {
  const auto value =
      static_cast<uint64_t>((n * 977 + 1) * (y * 131 + 1) * (x * 61 + 1) + n * 31 + y * 7 + x);
  return value % (uint64_t{1} << depth);
}

namespace {

constexpr int kSide = 256;

// Bits per pixel of a stored word; at depth 24 each half frame is coded like depth 12.
int FieldBits(int depth) { return depth == 1 ? 1 : depth == 6 ? 8 : 16; }

// Pixels to big-endian 64-bit words, the first pixel in the lowest bits.
void AppendWords(Bytes& bytes, const std::vector<uint64_t>& pixels, int field_bits) {
  const auto per_word = static_cast<size_t>(64 / field_bits);
  for (size_t i = 0; i < pixels.size(); i += per_word) {
    uint64_t word = 0;
    for (size_t k = 0; k < per_word; ++k) {
      word |= pixels[i + k] << (k * static_cast<size_t>(field_bits));
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::byte>(word >> shift));
    }
  }
}

// The pixels in the order in which the frame stores them.
std::vector<uint64_t> StoredOrder(bool quad, int depth, int chip_rows, int64_t n) {
  std::vector<uint64_t> pixels;
  for (int r = 0; r < chip_rows; ++r) {
    if (!quad) {
      for (int x = 0; x < kSide; ++x) pixels.push_back(RecipePixel(n, r, x, depth));
      continue;
    }
    const int bottom = 2 * chip_rows - 1 - r;
    for (int x = 511; x >= 256; --x) pixels.push_back(RecipePixel(n, bottom, x, depth));  // slot 0
    for (int x = 255; x >= 0; --x) pixels.push_back(RecipePixel(n, bottom, x, depth));    // slot 1
    for (int x = 256; x < 512; ++x) pixels.push_back(RecipePixel(n, r, x, depth));        // slot 2
    for (int x = 0; x < 256; ++x) pixels.push_back(RecipePixel(n, r, x, depth));          // slot 3
  }
  return pixels;
}

}  // namespace

Bytes RawFile(bool quad, int depth, int chip_rows, bool gap_layout) {
  Bytes file;
  for (int64_t n = 0; n < 2; ++n) {
    TestHeader header;
    header.sequence = n + 1;
    header.header_bytes = quad ? 768 : 384;
    header.chips = quad ? 4 : 1;
    header.width = (quad ? 1024 : 256) * (depth == 24 ? 2 : 1);
    header.rows = chip_rows;
    header.type = "R64";
    header.layout = quad ? (gap_layout ? "  2x2G" : "   2x2") : "   1x1";
    header.chip_select = quad ? "0F" : "01";
    header.depth = depth;
    header.time_ns = n * 1'000'000;
    const Bytes head = header.Padded();
    file.insert(file.end(), head.begin(), head.end());
    std::vector<uint64_t> pixels = StoredOrder(quad, depth, chip_rows, n);
    if (depth == 24) {
      std::vector<uint64_t> upper(pixels.size());
      std::ranges::transform(pixels, upper.begin(), [](uint64_t pixel) { return pixel / 4096; });
      AppendWords(file, upper, 16);
      for (uint64_t& pixel : pixels) pixel %= 4096;
    }
    AppendWords(file, pixels, FieldBits(depth));
  }
  return file;
}

Bytes RecipeImages(bool quad, int depth, int chip_rows) {
  const size_t pixel_bytes = depth <= 6 ? 1 : depth == 12 ? 2 : 4;
  Bytes images;
  for (int64_t n = 0; n < 2; ++n) {
    for (int y = 0; y < (quad ? 2 : 1) * chip_rows; ++y) {
      for (int x = 0; x < (quad ? 2 : 1) * kSide; ++x) {
        const uint64_t value = RecipePixel(n, y, x, depth);
        for (size_t byte = 0; byte < pixel_bytes; ++byte) {
          images.push_back(static_cast<std::byte>(value >> (8 * byte)));
        }
      }
    }
  }
  return images;
}

void TestReport::AddAnomaly(Anomaly anomaly) {
  const std::lock_guard lock(mutex);
  anomalies.push_back(std::move(anomaly));
}

void TestReport::AddFrameFacts(int64_t source_frame, const FrameHeaderFacts& frame_facts) {
  const std::lock_guard lock(mutex);
  facts[source_frame] = frame_facts;
}

void TestReport::MarkInvalid(int64_t source_frame, std::string_view /*reason*/) {
  const std::lock_guard lock(mutex);
  invalid.push_back(source_frame);
}

Result<std::unique_ptr<FrameSource>> OpenMib(const std::filesystem::path& path,
                                             bool this_file_only) {
  OpenOptions options;
  options.this_file_only = this_file_only;
  return MibFormat().Open(path, options);
}

Result<Bytes> DecodeAll(const FrameSource& source, TestReport& report, int64_t frames_per_call,
                        RawBytesObserver* observer) {
  const SourceDescription& description = source.description();
  const size_t frame_bytes =
      static_cast<size_t>(description.signal.pixel_count()) * ElementSize(description.element_type);
  Bytes images(frame_bytes * static_cast<size_t>(description.frame_count));
  DecodeContext context;
  context.report = &report;
  context.observer = observer;
  for (int64_t first = 0; first < description.frame_count; first += frames_per_call) {
    const int64_t last = std::min(description.frame_count, first + frames_per_call);
    PENSTOCK_RETURN_IF_ERROR(
        source.Decode(first, last,
                      std::span(images).subspan(static_cast<size_t>(first) * frame_bytes,
                                                static_cast<size_t>(last - first) * frame_bytes),
                      context));
  }
  return images;
}

bool Has(const std::vector<Anomaly>& anomalies, AnomalyKind kind, std::string_view text) {
  return std::ranges::any_of(anomalies, [&](const Anomaly& anomaly) {
    return anomaly.kind == kind && anomaly.message.find(text) != std::string::npos;
  });
}

std::string Listed(const std::vector<Anomaly>& anomalies) {
  std::string listed;
  for (const Anomaly& anomaly : anomalies) {
    listed += fmt::format("kind {} {}: {}\n", static_cast<int>(anomaly.kind), anomaly.file,
                          anomaly.message);
  }
  return listed;
}

}  // namespace penstock::ingest
