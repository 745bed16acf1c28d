// BLO: pixels at both depths, frame numbers, headers that lie.

#include <gmock/gmock.h>

#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

struct TestBlo {
  uint16_t format = 258;
  uint16_t side = 5;
  uint16_t columns = 3;
  uint16_t rows = 2;
  int depth = 8;
  std::string note = "Camera gamma : on\r\nPrecession angle : 0\r\n";
  std::vector<uint32_t> numbers = {0, 1, 2, 3, 4, 5};

  size_t Record() const { return 6 + size_t{side} * side * static_cast<size_t>(depth) / 8; }
  static constexpr size_t kImage = 512;
  size_t FramesOffset() const { return (kImage + size_t{rows} * columns + 15) / 16 * 16; }

  uint16_t Pixel(size_t frame, size_t i) const {
    const size_t value = frame * 1000 + i * 7;
    return static_cast<uint16_t>(depth == 8 ? value % 256 : value);
  }

  Bytes Build() const {
    Bytes b(FramesOffset());
    PutText(b, 0, "IMGBLO");
    Put(b, 6, format);
    Put(b, 8, uint32_t{kImage});
    Put(b, 12, static_cast<uint32_t>(FramesOffset()));
    Put(b, 20, side);
    Put(b, 24, columns);
    Put(b, 26, rows);
    Put(b, 28, uint16_t{2500});
    Put(b, 30, 12.8);
    Put(b, 38, 6.4);
    Put(b, 46, uint32_t{200000});
    Put(b, 50, uint16_t{400});
    Put(b, 52, uint32_t{2000});
    PutText(b, 240, note);
    for (size_t frame = 0; frame < numbers.size(); ++frame) {
      Add(b, uint8_t{0xAA});
      Add(b, uint8_t{0x55});
      Add(b, numbers[frame]);
      for (size_t i = 0; i < size_t{side} * side; ++i) {
        if (depth == 8) Add(b, static_cast<uint8_t>(Pixel(frame, i)));
        if (depth == 16) Add(b, Pixel(frame, i));
      }
    }
    return b;
  }
};

TestBlo Deep() {
  TestBlo blo;
  blo.format = 259;
  blo.depth = 16;
  blo.note = "x: y\r\nBLO Bit depth: 16 Bits\r\n";
  return blo;
}

TEST(Blo, PixelsOfBothDepths) {
  for (const TestBlo& blo : {TestBlo{}, Deep()}) {
    const TestDirectory directory;
    const Bytes file = blo.Build();
    const auto source = OpenAny(directory.Write("a.blo", file));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    const SourceDescription& description = (*source)->description();
    EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
    EXPECT_EQ(description.scan_shapes.at(0).shape, (ScanShape{2, 3, false}));
    EXPECT_EQ(description.element_type,
              blo.depth == 8 ? ElementType::kUint8 : ElementType::kUint16);
    for (const int64_t frames_per_call : {1, 4, 100}) {
      TestReport report;
      SeenBytes seen;
      const auto frames = DecodeAll(**source, report, frames_per_call, &seen);
      ASSERT_TRUE(frames.ok());
      for (size_t i = 0; i < 6 * 25; ++i) {
        const uint16_t found = blo.depth == 8 ? At<uint8_t>(*frames, i) : At<uint16_t>(*frames, i);
        ASSERT_EQ(found, blo.Pixel(i / 25, i % 25));
      }
      EXPECT_EQ(seen.Count(0), file.size() - blo.FramesOffset());
      EXPECT_EQ(report.facts.at(4).sequence_number, 4);
      EXPECT_TRUE(report.anomalies.empty());
    }
    const std::string event = "measurement/event1/instrument/";
    EXPECT_EQ(FactValue(description, event + "ebeam_column/electron_source/voltage"), 200000);
    EXPECT_EQ(FactValue(description, event + "optics/camera_length"), 0.2);
    EXPECT_EQ(FactValue(description, event + "ebeam_column/scan_controller/scan_rotation"), 25.0);
    EXPECT_EQ(description.axes.at("axis_k").step, 12.8);
    EXPECT_EQ(description.axes.at("axis_m").step, 6.4);
    EXPECT_EQ(description.axes.at("axis_i").step, 0.25);
    EXPECT_EQ(description.axes.at("axis_i").units, "cm");
  }
}

TEST(Blo, GapsInTheNumbersAreLostFrames) {
  TestBlo blo;
  blo.numbers = {2, 3, 6, 7};
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.blo", blo.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  ASSERT_EQ(description.missing_frames.size(), 2U);
  EXPECT_EQ(description.missing_frames[0].before_frame, 0);
  EXPECT_EQ(description.missing_frames[0].count, 2);
  EXPECT_EQ(description.missing_frames[1].before_frame, 2);
  EXPECT_EQ(description.missing_frames[1].count, 2);
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kMissingFrame, "2 frames are missing"));
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kMissingFrame, "expected 6 frames"));
}

TEST(Blo, NumbersThatDoNotCount) {
  TestBlo blo;
  blo.numbers = {0, 0, 0, 0, 0, 0};
  const TestDirectory directory;
  const auto all_zero = OpenAny(directory.Write("a.blo", blo.Build()));
  ASSERT_TRUE(all_zero.ok());
  EXPECT_TRUE((*all_zero)->description().missing_frames.empty());
  EXPECT_TRUE((*all_zero)->description().anomalies.empty());
  blo.numbers = {4'000'000'000, 1, 2, 3, 4, 5};
  const auto wild = OpenAny(directory.Write("b.blo", blo.Build()));
  ASSERT_TRUE(wild.ok());
  EXPECT_TRUE((*wild)->description().missing_frames.empty());
  EXPECT_TRUE(Has((*wild)->description().anomalies, AnomalyKind::kOther, "not credible"));
  blo.numbers = {0, 1, 1, 2, 3, 4};
  const auto twice = OpenAny(directory.Write("c.blo", blo.Build()));
  EXPECT_TRUE(Has((*twice)->description().anomalies, AnomalyKind::kDuplicateFrame, "1 again"));
  blo.numbers = {0, 1, 2, 0, 1, 2};
  const auto joined = OpenAny(directory.Write("d.blo", blo.Build()));
  EXPECT_TRUE(
      Has((*joined)->description().anomalies, AnomalyKind::kHeaderContradiction, "starts anew"));
}

TEST(Blo, LostMarkerMakesAFrameInvalid) {
  const TestBlo blo;
  Bytes file = blo.Build();
  file[blo.FramesOffset() + 3 * blo.Record()] = std::byte{0x11};
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.blo", file));
  ASSERT_TRUE(source.ok());
  TestReport report;
  DecodedFrames(**source, report);
  EXPECT_EQ(report.invalid, std::vector<int64_t>{3});
  EXPECT_TRUE(Has(report.anomalies, AnomalyKind::kOther, "11 55 instead of aa 55"));
}

TEST(Blo, CutAndSurplus) {
  const TestDirectory directory;
  const TestBlo blo;
  Bytes cut = blo.Build();
  cut.resize(cut.size() - 10);
  const auto stopped = OpenAny(directory.Write("a.blo", cut));
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ((*stopped)->description().frame_count, 5);
  EXPECT_TRUE(Has((*stopped)->description().anomalies, AnomalyKind::kTruncated, "found 5 and 21"));

  Bytes tail = blo.Build();
  tail.resize(tail.size() + 100);
  const auto surplus = OpenAny(directory.Write("b.blo", tail));
  ASSERT_TRUE(surplus.ok());
  EXPECT_EQ((*surplus)->description().frame_count, 6);
  EXPECT_TRUE(Has((*surplus)->description().anomalies, AnomalyKind::kOther, "100 bytes"));

  TestBlo more;
  more.numbers = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto frames = OpenAny(directory.Write("c.blo", more.Build()));
  ASSERT_TRUE(frames.ok());
  EXPECT_EQ((*frames)->description().frame_count, 8);
}

struct Refusal {
  const char* name;
  std::function<void(Bytes&)> damage;
  ErrorKind kind;
  const char* message;
};

TEST(Blo, Refusals) {
  const std::vector<Refusal> cases = {
      {"version", [](Bytes& b) { Put(b, 6, uint16_t{260}); }, ErrorKind::kUnsupported, "version"},
      {"no rows", [](Bytes& b) { Put(b, 26, uint16_t{0}); }, ErrorKind::kCorrupt, "no extent"},
      {"image", [](Bytes& b) { Put(b, 8, uint32_t{100}); }, ErrorKind::kCorrupt, "offsets"},
      {"image behind", [](Bytes& b) { Put(b, 8, uint32_t{1} << 30); }, ErrorKind::kCorrupt,
       "offsets"},
      {"frames", [](Bytes& b) { Put(b, 12, uint32_t{200}); }, ErrorKind::kCorrupt, "offsets"},
      {"frames behind", [](Bytes& b) { Put(b, 12, uint32_t{0xffffffff}); }, ErrorKind::kCorrupt,
       "no complete frame"},
      {"frames shifted", [](Bytes& b) { Put(b, 12, uint32_t{530}); }, ErrorKind::kCorrupt,
       "no frame where"},
      {"side", [](Bytes& b) { Put(b, 20, uint16_t{0xffff}); }, ErrorKind::kCorrupt,
       "no complete frame"},
      {"short", [](Bytes& b) { b.resize(200); }, ErrorKind::kCorrupt, "inside its header"},
  };
  for (const Refusal& refusal : cases) {
    SCOPED_TRACE(refusal.name);
    Bytes file = TestBlo{}.Build();
    refusal.damage(file);
    const TestDirectory directory;
    const auto source = OpenAny(directory.Write("a.blo", file));
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.error().kind(), refusal.kind);
    EXPECT_THAT(source.error().ToString(), HasSubstr(refusal.message));
    EXPECT_THAT(source.error().file(), HasSubstr("a.blo"));
  }
}

TEST(Blo, DepthThatContradictsTheFrames) {
  TestBlo lies = Deep();
  lies.note = "nothing about the depth";
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.blo", lies.Build()));
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kContradiction);
  lies.note = "Blo Bit Depth: 12 bits";
  const auto unknown = OpenAny(directory.Write("b.blo", lies.Build()));
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().kind(), ErrorKind::kUnsupported);
}

TEST(Blo, DamagedAtRandom) {
  const TestDirectory directory;
  DamageAtRandom(directory, "a.blo", TestBlo{}.Build(), 60, 600, "blo");
  DamageAtRandom(directory, "a.blo", Deep().Build(), 900, 600, "blo");
}

}  // namespace
}  // namespace penstock::ingest
