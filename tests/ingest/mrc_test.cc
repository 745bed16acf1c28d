// MRC: every mode in both byte orders, headers that lie, extended headers of FEI.

#include <gmock/gmock.h>

#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

struct TestMrc {
  int32_t columns = 5;
  int32_t rows = 4;
  int32_t sections = 3;
  int32_t mode = 1;
  bool big_endian = false;
  bool map_word = true;
  bool stamp = true;
  Bytes extended;
  std::string extended_type;

  size_t SectionBytes() const {
    const auto pixels = static_cast<size_t>(columns * rows);
    switch (mode) {
      case 0:
        return pixels;
      case 2:
      case 3:
        return pixels * 4;
      case 4:
        return pixels * 8;
      case 16:
        return pixels * 3;
      case 101:
        return static_cast<size_t>((columns + 1) / 2 * rows);
      default:
        return pixels * 2;
    }
  }

  template <typename T>
  void Number(Bytes& b, size_t offset, T value) const {
    Put(b, offset, value);
    if (big_endian)
      std::reverse(b.begin() + static_cast<ptrdiff_t>(offset),
                   b.begin() + static_cast<ptrdiff_t>(offset + sizeof(T)));
  }

  // Pixel bytes are (7 * position + 3) mod 251.
  Bytes Build() const {
    Bytes b(1024);
    Number(b, 0, columns);
    Number(b, 4, rows);
    Number(b, 8, sections);
    Number(b, 12, mode);
    Number(b, 28, columns);
    Number(b, 32, rows);
    Number(b, 40, static_cast<float>(columns) * 2.5F);
    Number(b, 44, static_cast<float>(rows) * 2.0F);
    Number(b, 64, int32_t{1});
    Number(b, 68, int32_t{2});
    Number(b, 72, int32_t{3});
    Number(b, 92, static_cast<int32_t>(extended.size()));
    PutText(b, 104, extended_type);
    if (map_word) PutText(b, 208, "MAP ");
    if (stamp) Put(b, 212, big_endian ? uint16_t{0x1111} : uint16_t{0x4144});
    Number(b, 220, int32_t{1});
    PutText(b, 224, "made for a test");
    b.insert(b.end(), extended.begin(), extended.end());
    const size_t bytes = SectionBytes() * static_cast<size_t>(sections);
    for (size_t i = 0; i < bytes; ++i) b.push_back(static_cast<std::byte>((7 * i + 3) % 251));
    return b;
  }
};

std::byte Pixel(size_t position) { return static_cast<std::byte>((7 * position + 3) % 251); }

TEST(Mrc, ModesThatAreStoredAsTheyAre) {
  struct Case {
    int32_t mode;
    ElementType type;
    size_t word;  // bytes of a number
  };
  for (const Case& test : {Case{0, ElementType::kInt8, 1}, Case{1, ElementType::kInt16, 2},
                           Case{2, ElementType::kFloat32, 4}, Case{4, ElementType::kComplex64, 4},
                           Case{6, ElementType::kUint16, 2}}) {
    for (const bool big_endian : {false, true}) {
      SCOPED_TRACE(test.mode);
      TestMrc mrc;
      mrc.mode = test.mode;
      mrc.big_endian = big_endian;
      mrc.extended.resize(160);
      const TestDirectory directory;
      const Bytes file = mrc.Build();
      const auto source = OpenAny(directory.Write("a.mrc", file));
      ASSERT_TRUE(source.ok()) << source.error().ToString();
      const SourceDescription& description = (*source)->description();
      EXPECT_EQ(description.format, "mrc");
      EXPECT_EQ(description.element_type, test.type);
      EXPECT_EQ(description.signal, (SignalShape{4, 5}));
      EXPECT_EQ(description.frame_count, 3);
      EXPECT_TRUE(description.scan_shapes.empty());
      EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
      EXPECT_NEAR(description.axes.at("axis_i").step, 2.5, 1e-6);
      EXPECT_NEAR(description.axes.at("axis_j").step, 2.0, 1e-6);
      EXPECT_EQ(description.axes.at("axis_i").units, "angstrom");
      TestReport report;
      SeenBytes seen;
      const auto frames = DecodeAll(**source, report, 2, &seen);
      ASSERT_TRUE(frames.ok());
      for (size_t i = 0; i < frames->size(); ++i) {
        const size_t from =
            big_endian ? i / test.word * test.word + test.word - 1 - i % test.word : i;
        ASSERT_EQ((*frames)[i], Pixel(from)) << i;
      }
      EXPECT_EQ(seen.Count(0), file.size() - 1024 - 160);
    }
  }
}

TEST(Mrc, BytesOfImodAreUnsignedUnlessItsFlagSaysOtherwise) {
  for (const int32_t flags : {0, 1, 16}) {
    TestMrc mrc;
    mrc.mode = 0;
    Bytes file = mrc.Build();
    Put(file, 152, int32_t{1146047817});
    Put(file, 156, flags);
    const TestDirectory directory;
    const auto source = OpenAny(directory.Write("a.mrc", file));
    if (flags == 16) {
      ASSERT_FALSE(source.ok());
      EXPECT_THAT(source.error().ToString(), HasSubstr("mode 101"));
      continue;
    }
    ASSERT_TRUE(source.ok());
    EXPECT_EQ((*source)->description().element_type,
              flags == 0 ? ElementType::kUint8 : ElementType::kInt8);
  }
}

TEST(Mrc, FourBitPixels) {
  for (const int32_t columns : {4, 5, 131}) {
    TestMrc mrc;
    mrc.mode = 101;
    mrc.columns = columns;
    const TestDirectory directory;
    const auto source = OpenAny(directory.Write("a.mrc", mrc.Build()));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().element_type, ElementType::kUint8);
    TestReport report;
    const Bytes frames = DecodedFrames(**source, report, 2);
    const auto width = static_cast<size_t>(columns);
    const size_t row_bytes = (width + 1) / 2;
    for (size_t row = 0; row < 12; ++row) {
      for (size_t x = 0; x < width; ++x) {
        const auto pair = std::to_integer<unsigned>(Pixel(row * row_bytes + x / 2));
        ASSERT_EQ(std::to_integer<unsigned>(frames[row * width + x]),
                  x % 2 == 0 ? pair & 15 : pair >> 4);
      }
    }
  }
}

TEST(Mrc, HalfPrecisionIsWidened) {
  for (const bool big_endian : {false, true}) {
    TestMrc mrc;
    mrc.mode = 12;
    mrc.big_endian = big_endian;
    Bytes file = mrc.Build();
    mrc.Number(file, 1024, uint16_t{0x3C00});
    mrc.Number(file, 1026, uint16_t{0xC500});
    mrc.Number(file, 1028, uint16_t{0x0001});
    const TestDirectory directory;
    const auto source = OpenAny(directory.Write("a.mrc", file));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().element_type, ElementType::kFloat32);
    TestReport report;
    const Bytes frames = DecodedFrames(**source, report);
    EXPECT_EQ(At<float>(frames, 0), 1.0F);
    EXPECT_EQ(At<float>(frames, 1), -5.0F);
    EXPECT_EQ(At<float>(frames, 2), 5.9604644775390625e-8F);
  }
}

TEST(Mrc, ExtendedHeadersOfFei) {
  TestMrc mrc;
  mrc.extended.resize(768);
  mrc.extended_type = "FEI1";
  Put(mrc.extended, 84, 300000.0);
  Put(mrc.extended, 100, -12.5);
  Put(mrc.extended, 156, 1.5e-10);
  Put(mrc.extended, 164, 1.6e-10);
  Put(mrc.extended, 289, 130000.0);
  Put(mrc.extended, 301, 0.0);  // not recorded
  Put(mrc.extended, 419, 0.25);
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.mrc", mrc.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  const std::string event = "measurement/event1/instrument/";
  EXPECT_EQ(FactValue(description, event + "ebeam_column/electron_source/voltage"), 300000.0);
  EXPECT_EQ(FactValue(description, event + "stage1/tilt1"), -12.5);
  EXPECT_EQ(FactValue(description, event + "optics/magnification"), 130000.0);
  EXPECT_EQ(FactValue(description, event + "optics/camera_length"), nullptr);
  EXPECT_EQ(FactValue(description, event + "detector1/count_time"), 0.25);
  EXPECT_EQ(description.axes.at("axis_i").step, 1.5e-10);
  EXPECT_EQ(description.axes.at("axis_i").units, "m");

  TestMrc old;
  old.extended.resize(131072);
  Put(old.extended, 32, 0.5F);
  Put(old.extended, 44, 2e-9F);
  const auto older = OpenAny(directory.Write("b.mrc", old.Build()));
  ASSERT_TRUE(older.ok());
  EXPECT_EQ(FactValue((*older)->description(), event + "detector1/count_time"), 0.5);
  EXPECT_NEAR((*older)->description().axes.at("axis_j").step, 2e-9, 1e-15);
}

TEST(Mrc, ByteOrderWithoutOrAgainstTheStamp) {
  TestMrc mrc;
  mrc.big_endian = true;
  mrc.stamp = false;
  const TestDirectory directory;
  const auto source = OpenAny(directory.Write("a.mrc", mrc.Build()));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->description().signal, (SignalShape{4, 5}));
  Bytes lies = mrc.Build();
  Put(lies, 212, uint16_t{0x4444});
  const auto against = OpenAny(directory.Write("b.mrc", lies));
  ASSERT_TRUE(against.ok());
  EXPECT_TRUE(Has((*against)->description().anomalies, AnomalyKind::kOther, "machine stamp"));
}

TEST(Mrc, WithoutTheMapWordTheSizeMustFit) {
  TestMrc mrc;
  mrc.map_word = false;
  const TestDirectory directory;
  EXPECT_TRUE(OpenAny(directory.Write("a.mrc", mrc.Build())).ok());
  EXPECT_TRUE(OpenAny(directory.Write("a.st", mrc.Build())).ok());
  EXPECT_FALSE(OpenAny(directory.Write("a.dat", mrc.Build())).ok());
  Bytes longer = mrc.Build();
  longer.push_back(std::byte{0});
  EXPECT_FALSE(OpenAny(directory.Write("a.mrc", longer)).ok());
}

TEST(Mrc, CutAndSurplus) {
  const TestMrc mrc;
  const TestDirectory directory;
  Bytes file = mrc.Build();
  file.resize(file.size() - 1);
  const auto cut = OpenAny(directory.Write("a.mrc", file));
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ((*cut)->description().frame_count, 2);
  EXPECT_TRUE(Has((*cut)->description().anomalies, AnomalyKind::kTruncated, "found 2 and 39"));
  file = mrc.Build();
  file.resize(file.size() + 45);
  const auto more = OpenAny(directory.Write("a.mrc", file));
  ASSERT_TRUE(more.ok());
  EXPECT_EQ((*more)->description().frame_count, 3);
  EXPECT_TRUE(Has((*more)->description().anomalies, AnomalyKind::kExtraFrames, "45 bytes"));
  Bytes swapped = mrc.Build();
  Put(swapped, 64, int32_t{2});
  Put(swapped, 68, int32_t{1});
  const auto axes = OpenAny(directory.Write("a.mrc", swapped));
  ASSERT_TRUE(axes.ok());
  EXPECT_TRUE(Has((*axes)->description().anomalies, AnomalyKind::kOther, "axes 2, 1 and 3"));
}

TEST(Mrc, Refusals) {
  const TestDirectory directory;
  for (const int32_t mode : {3, 16}) {
    TestMrc mrc;
    mrc.mode = mode;
    const auto source = OpenAny(directory.Write("a.mrc", mrc.Build()));
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.error().kind(), ErrorKind::kUnsupported);
  }
  TestMrc mrc;
  Bytes file = mrc.Build();
  file.resize(1030);
  const auto none = OpenAny(directory.Write("a.mrc", file));
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().ToString(), HasSubstr("no complete section"));
  file = mrc.Build();
  Put(file, 92, int32_t{2'000'000'000});
  const auto extended = OpenAny(directory.Write("a.mrc", file));
  ASSERT_FALSE(extended.ok());
  EXPECT_THAT(extended.error().ToString(), HasSubstr("no complete section"));
}

TEST(Mrc, DamagedAtRandom) {
  const TestDirectory directory;
  for (const int32_t mode : {1, 12, 101}) {
    TestMrc mrc;
    mrc.mode = mode;
    mrc.extended.resize(768);
    mrc.extended_type = "FEI2";
    DamageAtRandom(directory, "a.mrc", mrc.Build(), 240, 400, "mrc");
  }
}

}  // namespace
}  // namespace penstock::ingest
