// DM3 and DM4: every type of pixel in both versions and byte orders, axes, the choice of an image,
// and what is refused.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "ingest/formats/dm/dm_format.h"
#include "tests/ingest/gatan_test_tags.h"

namespace penstock::ingest {
namespace {

Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                          const std::string& choice = "") {
  OpenOptions options;
  options.dataset_path = choice;
  return DmFormat().Open(path, options);
}

struct PixelKind {
  int data_type;
  uint64_t tag_type;
  size_t bytes;
  ElementType element_type;
};

const PixelKind kKinds[] = {
    {1, 2, 2, ElementType::kInt16},    {2, 6, 4, ElementType::kFloat32},
    {6, 10, 1, ElementType::kUint8},   {7, 3, 4, ElementType::kInt32},
    {9, 9, 1, ElementType::kInt8},     {10, 4, 2, ElementType::kUint16},
    {11, 5, 4, ElementType::kUint32},  {12, 7, 8, ElementType::kFloat64},
    {14, 8, 1, ElementType::kUint8},   {39, 11, 8, ElementType::kInt64},
    {40, 12, 8, ElementType::kUint64},
};
constexpr PixelKind kInt32 = {7, 3, 4, ElementType::kInt32};

struct TestImage {
  std::vector<int64_t> dimensions = {5, 4, 3};  // fast first
  PixelKind kind = kInt32;
  std::string name;
  std::vector<TestTag> meta_data;
  std::vector<TestTag> more_tags;
  int shift = 0;
  int64_t pixels_more = 0;

  Bytes Pixels() const {
    int64_t count = pixels_more;
    int64_t product = 1;
    for (const int64_t size : dimensions) product *= size;
    count += product;
    Bytes bytes(static_cast<size_t>(count) * kind.bytes);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((i * 7 + i / 251 + static_cast<size_t>(shift)) % 251);
    }
    return bytes;
  }

  TestTag Tag() const {
    std::vector<TestTag> sizes;
    std::vector<TestTag> calibrations;
    const char* const units[] = {"1/nm", "1/nm", "\u00B5m", "nm"};
    for (size_t i = 0; i < dimensions.size(); ++i) {
      sizes.push_back(TestTag::Number<uint32_t>("", static_cast<uint32_t>(dimensions[i])));
      TestTag unit = TestTag::Text("Units", units[i % 4]);
      if (i == 2) {  // the letter beyond ASCII, as UTF-16
        unit.value = {std::byte{0xB5}, {}, std::byte{'m'}, {}};
        unit.descriptor[2] = 2;
      }
      calibrations.push_back(
          TestTag::Group("", {TestTag::Number<float>("Origin", static_cast<float>(i) + 1.0F),
                              TestTag::Number<float>("Scale", 0.5F), unit}));
    }
    std::vector<TestTag> image_tags = more_tags;
    if (!meta_data.empty()) image_tags.push_back(TestTag::Group("Meta Data", meta_data));
    return TestTag::Group(
        "", {TestTag::Group(
                 "ImageData",
                 {TestTag::Group("Calibrations", {TestTag::Group("Dimension", calibrations)}),
                  TestTag::Array("Data", kind.tag_type, kind.bytes, Pixels()),
                  TestTag::Number<uint32_t>("DataType", static_cast<uint32_t>(kind.data_type)),
                  TestTag::Group("Dimensions", sizes),
                  TestTag::Number<uint32_t>("PixelDepth", static_cast<uint32_t>(kind.bytes))}),
             TestTag::Group("ImageTags", image_tags), TestTag::Text("Name", name)});
  }
};

TestTagFile File(const std::vector<TestImage>& images, bool with_thumbnail = true) {
  std::vector<TestTag> list;
  if (with_thumbnail) {
    TestImage thumbnail;
    thumbnail.dimensions = {192, 192};
    thumbnail.kind = {23, 3, 4, ElementType::kInt32};
    list.push_back(thumbnail.Tag());
  }
  for (const TestImage& image : images) list.push_back(image.Tag());
  TestTagFile file;
  file.root = {TestTag::Number<bool>("InImageMode", true), TestTag::Group("ImageList", list)};
  if (with_thumbnail) {
    file.root.push_back(TestTag::Group(
        "Thumbnails", {TestTag::Group("", {TestTag::Number<uint32_t>("ImageIndex", 0)})}));
  }
  return file;
}

TEST(Dm, EveryTypeInBothVersionsAndByteOrders) {
  const TestDirectory directory;
  for (const PixelKind& kind : kKinds) {
    for (const uint32_t version : {3U, 4U}) {
      for (const bool little_endian : {true, false}) {
        SCOPED_TRACE(
            fmt::format("type {} version {} little {}", kind.data_type, version, little_endian));
        TestImage image;
        image.kind = kind;
        TestTagFile file = File({image});
        file.version = version;
        file.little_endian = little_endian;
        const auto path = directory.Write("image.dm4", file.Build());
        const auto source = Open(path);
        ASSERT_TRUE(source.ok()) << source.error().ToString();
        const SourceDescription& description = (*source)->description();
        EXPECT_EQ(description.element_type, kind.element_type);
        EXPECT_EQ(description.signal, (SignalShape{4, 5}));
        EXPECT_EQ(description.frame_count, 3);
        EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
        for (const int64_t at_once : {1, 2, 3}) {
          TestReport report;
          const auto frames = DecodeAll(**source, report, at_once);
          ASSERT_TRUE(frames.ok()) << frames.error().ToString();
          EXPECT_EQ(*frames, image.Pixels());
        }
      }
    }
  }
}

TEST(Dm, LargeFramesAreReadInPieces) {
  const TestDirectory directory;
  for (const PixelKind& kind : {kKinds[5], kKinds[7]}) {
    TestImage image;
    image.kind = kind;
    image.dimensions = {1031, 1237};
    TestTagFile file = File({image});
    file.little_endian = false;
    const auto source = Open(directory.Write("image.dm4", file.Build()));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    TestReport report;
    const auto frames = DecodeAll(**source, report);
    ASSERT_TRUE(frames.ok());
    EXPECT_EQ(*frames, image.Pixels());
  }
}

TEST(Dm, AxesAndCalibration) {
  const TestDirectory directory;
  TestImage image;
  image.dimensions = {5, 4, 3, 2};
  image.meta_data = {TestTag::Number<bool>("Data Order Swapped", true),
                     TestTag::Text("Format", "Diffraction image")};
  const auto source = Open(directory.Write("scan.dm4", File({image}).Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.signal, (SignalShape{4, 5}));
  EXPECT_EQ(description.frame_count, 6);
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{2, 3, false}));
  ASSERT_EQ(description.axes.size(), 4U);
  EXPECT_EQ(description.axes.at("axis_i").offset, -0.5);
  EXPECT_EQ(description.axes.at("axis_i").step, 0.5);
  EXPECT_EQ(description.axes.at("axis_i").units, "1/nm");
  EXPECT_EQ(description.axes.at("axis_j").offset, -1.0);
  EXPECT_EQ(description.axes.at("axis_k").units, "um");
  EXPECT_EQ(description.axes.at("axis_m").offset, -2.0);
  EXPECT_EQ(description.axes.at("axis_m").units, "nm");
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
}

TEST(Dm, TheOrderOfAScanMustBeKnown) {
  const TestDirectory directory;
  TestImage image;
  image.dimensions = {5, 4, 3, 2};
  auto source = Open(directory.Write("scan.dm4", File({image}).Build()));
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "without the tag 'Data Order Swapped'"));
  image.meta_data = {TestTag::Number<bool>("Data Order Swapped", false)};
  source = Open(directory.Write("scan.dm4", File({image}).Build()));
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kUnsupported);
  EXPECT_NE(source.error().ToString().find("the scan is the fast axis"), std::string::npos);
}

TEST(Dm, AStackThatIsAScan) {
  const TestDirectory directory;
  TestImage image;
  image.dimensions = {5, 4, 6};
  image.more_tags = {TestTag::Group("4D STEM Tags", {TestTag::Number<int32_t>("Scan shape X", 3),
                                                     TestTag::Number<int32_t>("Scan shape Y", 2)})};
  const auto source = Open(directory.Write("scan.dm4", File({image}).Build()));
  ASSERT_TRUE(source.ok());
  ASSERT_EQ((*source)->description().scan_shapes.size(), 1U);
  EXPECT_EQ((*source)->description().scan_shapes[0].shape, (ScanShape{2, 3, false}));
}

TEST(Dm, TheLargestImageOrTheOneAskedFor) {
  const TestDirectory directory;
  TestImage small;
  small.dimensions = {8, 8};
  small.name = "HAADF";
  small.shift = 9;
  TestImage large;
  large.dimensions = {5, 4, 30};
  TestImage complex;
  complex.dimensions = {64, 64};
  complex.kind = {13, 7, 16, ElementType::kComplex128};
  complex.kind.tag_type = 7;
  complex.kind.bytes = 8;
  const auto path = directory.Write("images.dm4", File({small, large, complex}).Build());
  auto source = Open(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().frame_count, 30);
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "image 1 'HAADF'"));
  for (const char* choice : {"1", "HAADF"}) {
    source = Open(path, choice);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().signal, (SignalShape{8, 8}));
    TestReport report;
    EXPECT_EQ(*DecodeAll(**source, report), small.Pixels());
  }
  source = Open(path, "7");
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().ToString().find("image 2 (5 x 4 x 30 int32)"), std::string::npos)
      << source.error().ToString();
  source = Open(path, "3");
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().ToString().find("complex numbers are not read"), std::string::npos);
  source = Open(path, "0");
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().ToString().find("colour images are not read"), std::string::npos);
}

TEST(Dm, Refused) {
  const TestDirectory directory;
  const auto refusal = [&](const TestImage& image) {
    const auto source = Open(directory.Write("image.dm4", File({image}).Build()));
    return source.ok() ? std::string("accepted") : source.error().ToString();
  };
  TestImage image;
  image.dimensions = {100};
  EXPECT_NE(refusal(image).find("holds spectra"), std::string::npos);
  image.dimensions = {3, 3, 100};
  image.meta_data = {TestTag::Text("Format", "Spectrum image")};
  EXPECT_NE(refusal(image).find("holds spectra"), std::string::npos);
  image.meta_data.clear();
  image.dimensions = {2, 2, 2, 2, 2};
  EXPECT_NE(refusal(image).find("5 dimensions"), std::string::npos);
  image.dimensions = {2, 2};
  image.kind.data_type = 3;
  EXPECT_NE(refusal(image).find("complex"), std::string::npos);
  image.kind.data_type = 99;
  EXPECT_NE(refusal(image).find("data type 99"), std::string::npos);
  image.kind = kInt32;
  image.pixels_more = -1;
  EXPECT_NE(refusal(image).find("fewer pixels than its dimensions say"), std::string::npos);
  image.pixels_more = 0;
  image.dimensions = {0, 5};
  EXPECT_NE(refusal(image).find("no image that can be ingested"), std::string::npos);

  const auto empty = Open(directory.Write("tags.dm4", TestTagFile{}.Build()));
  ASSERT_FALSE(empty.ok());
  EXPECT_NE(empty.error().ToString().find("no image"), std::string::npos);
  EXPECT_TRUE(Open(directory.Write("plain.dm4", File({TestImage()}, false).Build())).ok());
}

TEST(Dm, ContradictionsAndTruncation) {
  const TestDirectory directory;
  TestImage image;
  image.pixels_more = 3;
  auto source = Open(directory.Write("image.dm4", File({image}).Build()));
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "takes 240 bytes, the file has 252"))
      << Listed((*source)->description().anomalies);
  image = {};
  image.kind = {7, 4, 2, ElementType::kInt32};  // int32 pixels in an array of uint16
  source = Open(directory.Write("image.dm4", File({image}).Build()));
  ASSERT_FALSE(source.ok());
  image = {};
  const Bytes whole = File({image}).Build();
  for (const size_t length : {whole.size() / 2, whole.size() - 400}) {
    source = Open(directory.Write(
        "image.dm4", Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))));
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.error().kind(), ErrorKind::kCorrupt);
  }
}

}  // namespace
}  // namespace penstock::ingest
