// TVIPS: streams of several files, both versions of the image headers, scan positions.

#include <gmock/gmock.h>

#include "penstock/ingest/registry.h"
#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

struct TestStream {
  int32_t version = 2;
  int32_t columns = 5;
  int32_t rows = 3;
  int32_t bits = 16;
  int32_t header_bytes = 108;

  size_t Pixels() const { return static_cast<size_t>(columns * rows); }
  size_t Record() const {
    return static_cast<size_t>(version == 1 ? 12 : header_bytes) +
           Pixels() * static_cast<size_t>(bits) / 8;
  }
  uint16_t Pixel(size_t frame, size_t i) const {
    const size_t value = frame * 500 + i * 3;
    return static_cast<uint16_t>(bits == 8 ? value % 256 : value);
  }

  Bytes Header() const {
    Bytes b(256);
    const int32_t fields[] = {256, version, columns, rows, bits, 0,           0,
                              2,   2,       15500,   200,  800,  header_bytes};
    for (size_t i = 0; i < std::size(fields); ++i) Put(b, 4 * i, fields[i]);
    PutText(b, 52, "TVIPS TVIPS");
    return b;
  }

  // Appends image `frame` with this counter and scan position.
  void Append(Bytes& b, size_t frame, uint32_t counter, float x = 0, float y = 0) const {
    const size_t begin = b.size();
    b.resize(begin + static_cast<size_t>(version == 1 ? 12 : header_bytes));
    Put(b, begin, counter);
    Put(b, begin + 4, uint32_t{1'700'000'000});
    Put(b, begin + 8, static_cast<uint32_t>(frame % 1000));
    if (version == 2 && header_bytes >= 76) {
      Put(b, begin + 24, uint32_t{2});
      Put(b, begin + 40, 1.5F);
      Put(b, begin + 68, x);
      Put(b, begin + 72, y);
    }
    for (size_t i = 0; i < Pixels(); ++i) {
      if (bits == 8) Add(b, static_cast<uint8_t>(Pixel(frame, i)));
      if (bits == 16) Add(b, Pixel(frame, i));
    }
  }

  Bytes Build(size_t count) const {
    Bytes b = Header();
    for (size_t frame = 0; frame < count; ++frame) Append(b, frame, static_cast<uint32_t>(frame));
    return b;
  }
};

Result<std::unique_ptr<FrameSource>> FindTvips(const std::filesystem::path& path) {
  return OpenSource(path, "tvips", {});
}

uint16_t ValueAt(const TestStream& stream, const Bytes& frames, size_t index) {
  return stream.bits == 8 ? At<uint8_t>(frames, index) : At<uint16_t>(frames, index);
}

TEST(Tvips, BothVersionsAndDepths) {
  for (const int32_t version : {1, 2}) {
    for (const int32_t bits : {8, 16}) {
      for (const int32_t header_bytes : {12, 60, 108, 300}) {
        TestStream stream{version, 5, 3, bits, header_bytes};
        const TestDirectory directory;
        const Bytes file = stream.Build(4);
        const auto source = OpenAny(directory.Write("a_000.tvips", file));
        ASSERT_TRUE(source.ok()) << source.error().ToString();
        const SourceDescription& description = (*source)->description();
        EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
        EXPECT_EQ(description.signal, (SignalShape{3, 5}));
        EXPECT_EQ(description.suggested_name, "a");
        EXPECT_TRUE(description.scan_shapes.empty());
        TestReport report;
        SeenBytes seen;
        const auto frames = DecodeAll(**source, report, 3, &seen);
        ASSERT_TRUE(frames.ok());
        for (size_t i = 0; i < 4 * 15; ++i) {
          ASSERT_EQ(ValueAt(stream, *frames, i), stream.Pixel(i / 15, i % 15));
        }
        EXPECT_EQ(seen.Count(0), file.size() - 256);
        EXPECT_EQ(report.facts.at(2).sequence_number, 2);
        EXPECT_EQ(report.facts.at(2).time_unix_ns, 1'700'000'000'002'000'000);
        EXPECT_EQ(FactValue(description,
                            "measurement/event1/instrument/ebeam_column/electron_source/voltage"),
                  200000.0);
        EXPECT_EQ(FactValue(description, "measurement/event1/instrument/stage1/tilt1"),
                  version == 2 && header_bytes >= 76   ? Json(1.5)
                  : version == 2 && header_bytes >= 48 ? Json(0.0)
                                                       : Json());
      }
    }
  }
}

// Writes a stream whose images have these counters, `per_file` in each file.
void WriteStream(const TestDirectory& directory, const TestStream& stream,
                 const std::vector<uint32_t>& counters, size_t per_file,
                 const std::vector<std::pair<float, float>>& positions = {}) {
  Bytes b = stream.Header();
  int number = 0;
  for (size_t i = 0; i < counters.size(); ++i) {
    const auto [x, y] = positions.empty() ? std::pair(0.0F, 0.0F) : positions[i];
    stream.Append(b, i, counters[i], x, y);
    if ((i + 1) % per_file != 0 && i + 1 != counters.size()) continue;
    char name[32];
    snprintf(name, sizeof(name), "s_%03d.tvips", number++);
    directory.Write(name, b);
    b.clear();
  }
}

TEST(Tvips, FilesOfAStream) {
  const TestStream stream;
  const TestDirectory directory;
  WriteStream(directory, stream, {7, 8, 9, 10, 11}, 2);
  for (const char* name : {"s_000.tvips", "s_001.tvips", "s_002.tvips"}) {
    const auto source = OpenAny(directory / name);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().frame_count, 5);
    EXPECT_TRUE((*source)->description().anomalies.empty());
    TestReport report;
    const Bytes frames = DecodedFrames(**source, report);
    EXPECT_EQ(ValueAt(stream, frames, 4 * 15 + 2), stream.Pixel(4, 2));
    EXPECT_TRUE(report.anomalies.empty());
  }
  OpenOptions alone;
  alone.this_file_only = true;
  EXPECT_EQ((*OpenAny(directory / "s_000.tvips", alone))->description().frame_count, 2);
  std::filesystem::remove(directory / "s_001.tvips");
  const auto gap = OpenAny(directory / "s_000.tvips");
  ASSERT_TRUE(gap.ok());
  ASSERT_EQ((*gap)->description().missing_frames.size(), 1U);
  EXPECT_EQ((*gap)->description().missing_frames[0].before_frame, 2);
  EXPECT_EQ((*gap)->description().missing_frames[0].count, 2);
  std::filesystem::remove(directory / "s_000.tvips");
  const auto none = OpenAny(directory / "s_002.tvips");
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().ToString(), HasSubstr("s_000.tvips"));
}

TEST(Tvips, MissingFileWithoutCounters) {
  const TestDirectory directory;
  WriteStream(directory, TestStream{}, {0, 0, 0, 0, 0}, 2);
  std::filesystem::remove(directory / "s_001.tvips");
  const auto source = OpenAny(directory / "s_000.tvips");
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "no certain place"));
}

TEST(Tvips, AFileThatIsCutInsideTheStream) {
  for (const bool counted : {true, false}) {
    const TestDirectory directory;
    WriteStream(directory, TestStream{},
                counted ? std::vector<uint32_t>{0, 1, 2, 3, 4} : std::vector<uint32_t>(5), 2);
    std::filesystem::resize_file(directory / "s_001.tvips", 150);
    const auto source = OpenAny(directory / "s_000.tvips");
    ASSERT_TRUE(source.ok());
    const SourceDescription& description = (*source)->description();
    EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kTruncated, "whole one"));
    EXPECT_EQ(description.missing_frames.size(), counted ? 1U : 0U);
    EXPECT_EQ(Has(description.anomalies, AnomalyKind::kHeaderContradiction, "no certain place"),
              !counted);
  }
}

TEST(Tvips, ScanPositionsGiveBeginAndShape) {
  const TestStream stream;
  std::vector<std::pair<float, float>> positions(3, {0.0F, 0.0F});
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 4; ++x) positions.emplace_back(x, y);
  }
  std::vector<uint32_t> counters(positions.size());
  for (size_t i = 0; i < counters.size(); ++i) counters[i] = static_cast<uint32_t>(i);
  const TestDirectory directory;
  WriteStream(directory, stream, counters, 6, positions);
  const auto source = OpenAny(directory / "s_000.tvips");
  ASSERT_TRUE(source.ok());
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.first_frame, 3);
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{3, 4, false}));
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);

  // Images behind the scan make rows that are none.
  for (uint32_t i = 0; i < 4; ++i) {
    positions.emplace_back(3.0F, 2.0F);
    counters.push_back(static_cast<uint32_t>(counters.size()));
  }
  const TestDirectory longer;
  WriteStream(longer, stream, counters, 6, positions);
  const auto behind = OpenAny(longer / "s_000.tvips");
  ASSERT_TRUE(behind.ok());
  EXPECT_TRUE(Has((*behind)->description().anomalies, AnomalyKind::kOther, "behind the scan"));
}

TEST(Tvips, DamagedFiles) {
  const TestDirectory directory;
  const TestStream stream;
  Bytes file = stream.Build(3);
  file.resize(file.size() - 1);
  const auto cut = OpenAny(directory.Write("a_000.tvips", file));
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ((*cut)->description().frame_count, 2);
  EXPECT_TRUE(Has((*cut)->description().anomalies, AnomalyKind::kTruncated, "137 bytes"));
  struct Refusal {
    size_t offset;
    int32_t value;
    const char* message;
  };
  for (const Refusal& refusal :
       {Refusal{0, 255, "begin of a TVIPS"}, Refusal{4, 3, "version 3"}, Refusal{16, 12, "12 bits"},
        Refusal{8, -1, "size of an image"}, Refusal{8, 1 << 20, "no complete image"},
        Refusal{48, 4, "image header"}, Refusal{48, 1 << 30, "image header"}}) {
    file = stream.Build(2);
    Put(file, refusal.offset, refusal.value);
    const auto path = directory.Write("b.tvips", file);
    const auto source = FindTvips(path);
    ASSERT_FALSE(source.ok()) << refusal.message;
    EXPECT_THAT(source.error().ToString(), HasSubstr(refusal.message));
  }
}

TEST(Tvips, DamagedAtRandom) {
  const TestDirectory directory;
  DamageAtRandom(directory, "a_000.tvips", TestStream{}.Build(4), 360, 800, "tvips");
}

}  // namespace
}  // namespace penstock::ingest
