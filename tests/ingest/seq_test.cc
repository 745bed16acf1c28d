// SEQ: records with padding, times, references, headers that lie.

#include <gmock/gmock.h>

#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

struct TestSeq {
  int32_t version = 5;
  uint32_t columns = 6;
  uint32_t rows = 4;
  uint32_t bits = 16;
  uint32_t count = 5;
  uint32_t padding = 40;  // behind each image

  uint32_t ImageBytes() const { return columns * rows * bits / 8; }
  uint32_t Record() const { return ImageBytes() + padding; }
  size_t Begin() const { return version >= 5 ? 8192 : 1024; }
  uint32_t Pixel(size_t frame, size_t i) const {
    const size_t value = frame * 1000 + i * 3;
    return static_cast<uint32_t>(bits == 8 ? value % 256 : bits == 16 ? value : value * 70000);
  }

  Bytes Build() const {
    Bytes b(Begin());
    Put(b, 0, uint32_t{0xFEED});
    const std::string_view name = "Norpix seq";
    for (size_t i = 0; i < name.size(); ++i) Put(b, 4 + 2 * i, static_cast<uint16_t>(name[i]));
    Put(b, 28, version);
    Put(b, 32, int32_t{1024});
    Put(b, 36, uint16_t{'h'});
    Put(b, 38, uint16_t{'i'});
    Put(b, 548, columns);
    Put(b, 552, rows);
    Put(b, 556, bits);
    Put(b, 560, uint32_t{12});
    Put(b, 564, ImageBytes());
    Put(b, 568, uint32_t{100});
    Put(b, 572, count);
    Put(b, 580, Record());
    Put(b, 584, 400.0);
    for (size_t frame = 0; frame < count; ++frame) {
      const size_t begin = b.size();
      b.resize(begin + Record());
      for (size_t i = 0; i < size_t{columns} * rows; ++i) {
        const uint32_t value = Pixel(frame, i);
        std::memcpy(b.data() + begin + i * bits / 8, &value, bits / 8);
      }
      if (padding >= 8) {
        Put(b, begin + ImageBytes(), uint32_t{1'600'000'000});
        Put(b, begin + ImageBytes() + 4, static_cast<uint16_t>(frame));
        Put(b, begin + ImageBytes() + 6, uint16_t{250});
      }
    }
    return b;
  }
};

uint32_t ValueAt(const Bytes& frames, uint32_t bits, size_t index) {
  return bits == 8    ? At<uint8_t>(frames, index)
         : bits == 16 ? At<uint16_t>(frames, index)
                      : At<uint32_t>(frames, index);
}

Bytes Reference(const TestSeq& seq, float (*value)(size_t)) {
  Bytes b(1024);
  Put(b, 0, static_cast<int32_t>(seq.columns));
  Put(b, 4, static_cast<int32_t>(seq.rows));
  Put(b, 8, int32_t{1});
  Put(b, 12, int32_t{2});
  PutText(b, 208, "MAP DA");
  for (size_t i = 0; i < size_t{seq.columns} * seq.rows; ++i) Add(b, value(i));
  return b;
}

float DarkValue(size_t i) { return 0.3F + static_cast<float>(i); }
float GainValue(size_t i) { return 1.0F + static_cast<float>(i) * 0.017F; }

TEST(Seq, EveryDepthAndVersion) {
  for (const uint32_t bits : {8U, 16U, 32U}) {
    for (const int32_t version : {3, 5}) {
      TestSeq seq;
      seq.bits = bits;
      seq.version = version;
      const TestDirectory directory;
      const Bytes file = seq.Build();
      const auto source = OpenAny(directory.Write("a.seq", file));
      ASSERT_TRUE(source.ok()) << source.error().ToString();
      const SourceDescription& description = (*source)->description();
      EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
      EXPECT_EQ(description.signal, (SignalShape{4, 6}));
      EXPECT_EQ(description.frame_count, 5);
      EXPECT_EQ(description.suggested_name, "a");
      EXPECT_TRUE(description.scan_shapes.empty());
      TestReport report;
      SeenBytes seen;
      const auto frames = DecodeAll(**source, report, 2, &seen);
      ASSERT_TRUE(frames.ok());
      for (size_t i = 0; i < 5 * 24; ++i) {
        ASSERT_EQ(ValueAt(*frames, bits, i), seq.Pixel(i / 24, i % 24));
      }
      EXPECT_EQ(seen.Count(0), file.size() - seq.Begin());
      const int64_t micros = version == 5 ? 250'000 : 0;
      EXPECT_EQ(report.facts.at(3).time_unix_ns, 1'600'000'000'003'000'000 + micros);
      EXPECT_EQ(FactValue(description, "start_time"),
                version == 5 ? "2020-09-13T12:26:40.000250Z" : "2020-09-13T12:26:40Z");
      EXPECT_EQ(description.vendor_headers.at(1).text, "hi");
    }
  }
}

TEST(Seq, WithoutPaddingThereAreNoTimes) {
  TestSeq seq;
  seq.padding = 0;
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.seq", seq.Build()));
  ASSERT_TRUE(source.ok());
  TestReport report;
  const Bytes frames = DecodedFrames(**source, report);
  EXPECT_TRUE(report.facts.empty());
  EXPECT_EQ(ValueAt(frames, 16, 4 * 24 + 3), seq.Pixel(4, 3));
}

TEST(Seq, ReferencesOnRequest) {
  const TestSeq seq;
  for (const char* middle : {".seq", ""}) {
    const TestDirectory directory;
    const auto path = directory.Write("a.seq", seq.Build());
    const std::string base = std::string("a") + middle;
    directory.Write(base + ".dark.mrc", Reference(seq, DarkValue));
    const auto gain = directory.Write(base + ".gain.mrc", Reference(seq, GainValue));
    directory.Write(base + ".Config.Metadata.xml", std::string("<a/>"));
    const auto raw = OpenAny(path);
    ASSERT_TRUE(raw.ok());
    EXPECT_EQ((*raw)->description().files.size(), 4U);
    EXPECT_EQ((*raw)->description().element_type, ElementType::kUint16);
    OpenOptions options;
    options.subtract_dark = true;
    options.gain_file = gain.string();
    const auto source = OpenAny(path, options);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().files.size(), 4U);
    EXPECT_EQ((*source)->description().corrections.size(), 2U);
    TestReport report;
    const Bytes frames = DecodedFrames(**source, report);
    for (size_t i = 0; i < 5 * 24; ++i) {
      const double difference = seq.Pixel(i / 24, i % 24) - static_cast<double>(DarkValue(i % 24));
      ASSERT_EQ(At<float>(frames, i),
                static_cast<float>(difference * static_cast<double>(GainValue(i % 24))));
    }
  }
  const TestDirectory directory;
  OpenOptions dark;
  dark.subtract_dark = true;
  const auto path = directory.Write("a.seq", seq.Build());
  const auto none = OpenAny(path, dark);
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().ToString(), HasSubstr("a.seq.dark.mrc"));
  TestSeq other;
  other.rows = 5;
  directory.Write("a.seq.dark.mrc", Reference(other, DarkValue));
  const auto wrong = OpenAny(path, dark);
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().ToString(), HasSubstr("1 of 5 x 6"));
}

TEST(Seq, CountsThatDoNotFit) {
  TestSeq seq;
  const TestDirectory directory;
  Bytes file = seq.Build();
  file.resize(file.size() - 10);
  const auto cut = OpenAny(directory.Write("a.seq", file));
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ((*cut)->description().frame_count, 4);
  EXPECT_TRUE(Has((*cut)->description().anomalies, AnomalyKind::kTruncated, "78 bytes"));
  EXPECT_TRUE(Has((*cut)->description().anomalies, AnomalyKind::kMissingFrame, "5 images"));
  file = seq.Build();
  Put(file, 572, uint32_t{3});
  const auto more = OpenAny(directory.Write("a.seq", file));
  ASSERT_TRUE(more.ok());
  EXPECT_EQ((*more)->description().frame_count, 5);
  EXPECT_TRUE(Has((*more)->description().anomalies, AnomalyKind::kOther, "3 images"));
  file = seq.Build();
  Put(file, 564, uint32_t{7});
  const auto lies = OpenAny(directory.Write("a.seq", file));
  ASSERT_TRUE(lies.ok());
  EXPECT_TRUE(Has((*lies)->description().anomalies, AnomalyKind::kHeaderContradiction, "7 bytes"));
}

TEST(Seq, Refusals) {
  struct Refusal {
    size_t offset;
    uint32_t value;
    const char* message;
  };
  for (const Refusal& refusal :
       {Refusal{28, 0, "version"}, Refusal{548, 0, "size of an image"}, Refusal{556, 12, "depth"},
        Refusal{568, 200, "monochrome"}, Refusal{620, 1, "compressed"},
        Refusal{580, 47, "between their begins"}, Refusal{580, 0xffffffff, "no complete image"},
        Refusal{552, 0xffffffff, "size of an image"}}) {
    Bytes file = TestSeq{}.Build();
    Put(file, refusal.offset, refusal.value);
    const TestDirectory directory;
    const auto source = OpenAny(directory.Write("a.seq", file));
    ASSERT_FALSE(source.ok()) << refusal.message;
    EXPECT_THAT(source.error().ToString(), HasSubstr(refusal.message));
  }
}

TEST(Seq, DamagedAtRandom) {
  const TestDirectory directory;
  TestSeq seq;
  seq.version = 4;
  DamageAtRandom(directory, "a.seq", seq.Build(), 640, 800, "seq");
}

}  // namespace
}  // namespace penstock::ingest
