// K2 IS acquisitions: the synthetic set of the format's description against its hashes, where the
// acquisition begins, and every fault that can be made.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "ingest/formats/k2is/k2is_format.h"
#include "ingest/formats/k2is/sector_file.h"
#include "tests/ingest/k2is_test_files.h"

namespace penstock::ingest {
namespace {

constexpr size_t kFrame = size_t{1860} * 2048 * 2;

Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path, bool rescue = false) {
  OpenOptions options;
  options.rescue = rescue;
  return K2isFormat().Open(path, options);
}

struct Decoded {
  std::unique_ptr<FrameSource> source;
  TestReport report;
  Bytes frames;

  const SourceDescription& description() const { return source->description(); }
};

void OpenAndDecode(const std::filesystem::path& path, Decoded& decoded, bool rescue = false) {
  auto source = Open(path, rescue);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  decoded.source = std::move(*source);
  auto frames = DecodeAll(*decoded.source, decoded.report, 2);
  ASSERT_TRUE(frames.ok()) << frames.error().ToString();
  decoded.frames = std::move(*frames);
}

Bytes FrameOf(const Bytes& frames, size_t n) {
  return {frames.begin() + static_cast<ptrdiff_t>(n * kFrame),
          frames.begin() + static_cast<ptrdiff_t>((n + 1) * kFrame)};
}

// Zeros in columns [x0, x1) and rows [y0, y1).
Bytes Without(Bytes frame, size_t x0, size_t x1, size_t y0 = 0, size_t y1 = 1860) {
  for (size_t y = y0; y < y1; ++y) {
    std::fill(frame.begin() + static_cast<ptrdiff_t>((y * 2048 + x0) * 2),
              frame.begin() + static_cast<ptrdiff_t>((y * 2048 + x1) * 2), std::byte{0});
  }
  return frame;
}

TEST(K2is, TheGeneratedSetIsThatOfTheRecipe) {
  const TestDirectory directory;
  const std::filesystem::path gtg = TestK2is::Series().Write(directory);
  // Of the description of the format, which LiberTEM's reading confirms.
  const char* const kHashes[] = {
      "6463939e94578edbff68823abc7a858ecb9e2145d01c02174c5a40441e1a2e3f",
      "7ded881ef65000b8032b5861e1cfbee1b25adf1327b05c0294bc9dbe2f8ef44c",
      "e5460d94696473796e1dffaace0e37aa90a35782808615acb211d6fcc4b8d157",
      "e1bbac3688514dda7fc85cf36a618ecee9e88e787e5da06ac2db775e1caa949b",
      "c50ad8b073ec2fe14aa99e5ede0debbae8618aa227a21d55f018345584229c88",
      "ff3e9ac57d23c401ae40312c83544cec69cf78104c7440469a83bc55fee6ce8c",
      "b7bfc50725a62d2d9db3185a8c1e10167585082d4f6d6dc32343c79b14781ba9",
      "5dc720eb25231454127f95c2865feb7d876a6b11f3f5dab4ab42a7ab92fbffac"};
  const TestK2is set = TestK2is::Series();
  for (size_t sector = 0; sector < 8; ++sector) {
    Bytes bytes;
    for (const Bytes& block : set.sectors[sector]) {
      bytes.insert(bytes.end(), block.begin(), block.end());
    }
    EXPECT_EQ(Sha256Hex(bytes), kHashes[sector]) << sector;
  }

  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(gtg, decoded));
  EXPECT_EQ(Sha256Hex(decoded.frames),
            "27ffff1acdadf11ac62abb6300ba5a6f8723f0137c527c081b426eb18673c57f");
  EXPECT_EQ(Sha256Hex(FrameOf(decoded.frames, 0)),
            "698da939aafde2199abf0f3551d63814199c46d24be924c1228a6008e5416926");
  EXPECT_EQ(FrameOf(decoded.frames, 2), K2isFrame(80));
  const SourceDescription& description = decoded.description();
  EXPECT_EQ(description.frame_count, 3);
  EXPECT_EQ(description.signal, (SignalShape{1860, 2048}));
  EXPECT_EQ(description.element_type, ElementType::kUint16);
  EXPECT_EQ(description.suggested_name, "scan");
  EXPECT_EQ(description.files.size(), 9U);
  EXPECT_TRUE(description.scan_shapes.empty());
  EXPECT_EQ(description.first_frame, 0);
  EXPECT_NE(description.first_frame_evidence.find("number 78) is the first with the shutter flag"),
            std::string::npos)
      << description.first_frame_evidence;
  EXPECT_NE(description.first_frame_evidence.find("begin with blocks 1000, 1001, 1002, 1003"),
            std::string::npos);
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
  EXPECT_TRUE(decoded.report.anomalies.empty()) << Listed(decoded.report.anomalies);
  EXPECT_TRUE(decoded.report.invalid.empty());
  EXPECT_EQ(decoded.report.facts.at(1).sequence_number, 79);
  EXPECT_TRUE(description.pixel_mask.values.empty());
}

TEST(K2is, FactsOfTheTags) {
  const TestDirectory directory;
  const auto source = Open(TestK2is({5, 6}, 0, false).Write(directory));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto fact = [&](const std::string& path) {
    for (const MetadataFact& one : (*source)->description().facts) {
      if (one.path == path) return one.value.dump() + " " + one.units;
    }
    return std::string("none");
  };
  EXPECT_EQ(fact("measurement/event1/instrument/ebeam_column/electron_source/voltage"),
            "300000.0 V");
  EXPECT_EQ(fact("measurement/event1/instrument/optics/camera_length"), "230.0 mm");
  EXPECT_EQ(fact("measurement/event1/instrument/detector1/count_time"), "0.0025 s");
  EXPECT_EQ(fact("measurement/instrument/detector1/name"), "\"K2 IS\" ");
  ASSERT_EQ((*source)->description().vendor_headers.size(), 1U);
  EXPECT_NE((*source)->description().vendor_headers[0].text.find(
                "SI Image Tags/Microscope Info/Voltage = 300000\n"),
            std::string::npos);
}

std::vector<int64_t> Ids(int64_t first, int64_t count) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(first + i);
  return ids;
}

TEST(K2is, AScanBeginsOneFrameBeforeTheShutterFlag) {
  TestK2is set(Ids(100, 9), 105, false);
  set.sectors[3].erase(set.sectors[3].begin());  // so that frame 100 is not whole
  const TestDirectory directory;
  const auto path = set.Write(directory, std::pair{2U, 2U});
  const auto scan = Open(path);
  ASSERT_TRUE(scan.ok()) << scan.error().ToString();
  const SourceDescription& description = (*scan)->description();
  EXPECT_EQ(description.frame_count, 8);
  EXPECT_EQ(description.first_frame, 3);
  EXPECT_NE(description.first_frame_evidence.find(
                "frame 4 (number 105) is the first with the shutter flag, which rises one frame "
                "late in a scan: the scan begins with frame 3 (number 104)"),
            std::string::npos)
      << description.first_frame_evidence;
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{2, 2, false}));
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);

  const auto series = Open(set.Write(directory));
  ASSERT_TRUE(series.ok());
  EXPECT_EQ((*series)->description().first_frame, 4);
}

TEST(K2is, ManyFramesAreSearchedForTheFlag) {
  // As in the description of the format, where the flag rises with the 400th frame: 406 frames, of
  // which only headers matter.
  const TestDirectory directory;
  TestK2is set(Ids(1000, 26), 1021, false);
  const auto path = set.Write(directory, std::pair{2U, 2U});
  const auto source = Open(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().first_frame, 20);
}

TEST(K2is, ShutterFlagFromTheStartOrNever) {
  const TestDirectory directory;
  const auto started = Open(TestK2is(Ids(5, 6), 0, false).Write(directory, std::pair{2U, 2U}));
  ASSERT_TRUE(started.ok());
  EXPECT_EQ((*started)->description().first_frame, 0);
  EXPECT_TRUE(Has((*started)->description().anomalies, AnomalyKind::kOther,
                  "the first whole frame already has the shutter flag"));

  const auto never = Open(TestK2is(Ids(5, 6), 99, false).Write(directory, std::pair{2U, 2U}));
  ASSERT_TRUE(never.ok());
  EXPECT_TRUE(Has((*never)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "no frame has the shutter flag"));
  const auto series = Open(TestK2is(Ids(5, 6), 99, false).Write(directory));
  ASSERT_TRUE(series.ok());
  EXPECT_TRUE(Has((*series)->description().anomalies, AnomalyKind::kOther, "no frame has"));
}

TEST(K2is, ShutterFlagThatFallsIsReported) {
  TestK2is set(Ids(5, 6), 7, false);
  for (auto& blocks : set.sectors) {
    for (size_t block = 4 * 32; block < 5 * 32; ++block) blocks[block][9] = std::byte{0};
  }
  const TestDirectory directory;
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
  EXPECT_TRUE(Has(decoded.report.anomalies, AnomalyKind::kOther, "the shutter flag is not set"));
  EXPECT_TRUE(decoded.report.invalid.empty());
}

TEST(K2is, FlybackFromTheTags) {
  const TestDirectory directory;
  const TestK2is set(Ids(5, 10), 6, false);
  auto source = Open(set.Write(directory, std::pair{2U, 4U}, std::pair{2U, 3U}));
  ASSERT_TRUE(source.ok());
  ASSERT_EQ((*source)->description().scan_shapes.size(), 1U);
  EXPECT_EQ((*source)->description().scan_shapes[0].shape, (ScanShape{2, 3, false}));
  EXPECT_EQ((*source)->description().scan_shapes[0].extra_frames_per_row, 1);
  // A sampling that does not belong to the dimensions is told and not used.
  source = Open(set.Write(directory, std::pair{2U, 4U}, std::pair{218U, 132U}));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->description().scan_shapes[0].shape, (ScanShape{2, 4, false}));
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "218 x 132"));
  source = Open(set.Write(directory, std::pair{0U, 4U}));
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(
      Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction, "Size Y = 0"));
}

TEST(K2is, AFileThatBeginsInsideABlock) {
  TestK2is set = TestK2is::Series();
  Bytes& block = set.Block(2, 0);
  block.erase(block.begin(), block.begin() + 12345);
  const TestDirectory directory;
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
  EXPECT_EQ(Sha256Hex(decoded.frames),
            "27ffff1acdadf11ac62abb6300ba5a6f8723f0137c527c081b426eb18673c57f");
  EXPECT_TRUE(decoded.description().anomalies.empty()) << Listed(decoded.description().anomalies);
  // The sector itself is recognised too.
  std::ifstream file(directory / "scan_3.bin", std::ios::binary);
  Bytes head(4096);
  file.read(reinterpret_cast<char*>(head.data()), 4096);
  EXPECT_EQ(K2isFormat().Detect(directory / "scan_3.bin", head).confidence, Confidence::kYes);
  EXPECT_EQ(K2isFormat().Detect(directory / "other.dat", head).confidence, Confidence::kNo);
}

TEST(K2is, OneLostBlock) {
  TestK2is set = TestK2is::Series();
  // Of sector 5 (index 4, whose first four blocks are not there): block 3 of frame 79.
  auto& blocks = set.sectors[4];
  blocks.erase(blocks.begin() + 2 * 32 - 4 + 3);
  const TestDirectory directory;
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
  ASSERT_EQ(decoded.description().frame_count, 3);
  EXPECT_TRUE(Has(decoded.description().anomalies, AnomalyKind::kPartialSector,
                  "sector 5: 1 blocks are missing in front of block 1068 of frame 79"))
      << Listed(decoded.description().anomalies);
  EXPECT_EQ(decoded.report.invalid, (std::vector<int64_t>{1}));
  EXPECT_TRUE(Has(decoded.report.anomalies, AnomalyKind::kPartialSector,
                  "sector 5: 1 of 32 blocks of frame number 79 are missing"))
      << Listed(decoded.report.anomalies);
  EXPECT_EQ(FrameOf(decoded.frames, 0), K2isFrame(78));
  // Block 3 lies 3 blocks from the right edge of the sector, in the upper half.
  EXPECT_EQ(FrameOf(decoded.frames, 1), Without(K2isFrame(79), 1216, 1232, 0, 930));
  EXPECT_EQ(FrameOf(decoded.frames, 2), K2isFrame(80));
}

TEST(K2is, DamagedHeadersLoseTheirBlockOnly) {
  for (const auto& [offset, what] :
       std::vector<std::pair<size_t, std::string>>{{0, "has no valid header"},
                                                   {22, "has no valid header"},
                                                   {38, "has no valid header"},
                                                   {26, "expected block"},
                                                   {18, "expected block"},
                                                   {33, "has the coordinates"}}) {
    TestK2is set = TestK2is::Series();
    set.Block(0, 32 + 16)[offset] ^= std::byte{0x40};  // of frame 78, lower half, right edge
    const TestDirectory directory;
    Decoded decoded;
    ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
    ASSERT_EQ(decoded.description().frame_count, 3) << offset;
    EXPECT_EQ(decoded.report.invalid, (std::vector<int64_t>{0})) << offset;
    EXPECT_TRUE(Has(decoded.report.anomalies, AnomalyKind::kPartialSector, what))
        << offset << Listed(decoded.report.anomalies);
    EXPECT_EQ(FrameOf(decoded.frames, 0), Without(K2isFrame(78), 240, 256, 930, 1860)) << offset;
    EXPECT_EQ(FrameOf(decoded.frames, 1), K2isFrame(79)) << offset;
  }
}

TEST(K2is, BlocksInAnotherOrderArePlacedByTheirCoordinates) {
  TestK2is set = TestK2is::Series();
  // Two blocks change places, but for the counts.
  std::swap(set.Block(0, 70), set.Block(0, 75));
  Bytes& first = set.Block(0, 70);
  Bytes& second = set.Block(0, 75);
  std::swap_ranges(first.begin() + 16, first.begin() + 20, second.begin() + 16);
  const TestDirectory directory;
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
  EXPECT_EQ(FrameOf(decoded.frames, 1), K2isFrame(79));
  EXPECT_TRUE(decoded.report.invalid.empty());
  EXPECT_TRUE(Has(decoded.report.anomalies, AnomalyKind::kOther, "placed by its coordinates"));
}

TEST(K2is, ABlockTwiceAndBytesInBetween) {
  for (const bool twice : {true, false}) {
    TestK2is set = TestK2is::Series();
    auto& blocks = set.sectors[6];
    const auto place = blocks.begin() + 60;
    if (twice) {
      blocks.insert(place, Bytes(blocks[59]));
    } else {
      blocks.insert(place, Bytes(777, std::byte{0xFF}));
    }
    const TestDirectory directory;
    Decoded decoded;
    ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
    ASSERT_EQ(decoded.description().frame_count, 3);
    EXPECT_TRUE(Has(decoded.description().anomalies,
                    twice ? AnomalyKind::kDuplicateFrame : AnomalyKind::kPartialSector,
                    twice ? "1 blocks are there twice" : "777 bytes are no block"))
        << Listed(decoded.description().anomalies);
    EXPECT_TRUE(decoded.report.invalid.empty()) << Listed(decoded.report.anomalies);
    EXPECT_EQ(FrameOf(decoded.frames, 0), K2isFrame(78));
    EXPECT_EQ(FrameOf(decoded.frames, 1), K2isFrame(79));
    EXPECT_EQ(FrameOf(decoded.frames, 2), K2isFrame(80));
  }
}

TEST(K2is, FramesThatWereLostInAllSectors) {
  TestK2is set({77, 78, 81, 82, 83});
  const TestDirectory directory;
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(set.Write(directory), decoded));
  ASSERT_EQ(decoded.description().frame_count, 5);
  ASSERT_EQ(decoded.description().missing_frames.size(), 1U);
  EXPECT_EQ(decoded.description().missing_frames[0].before_frame, 2);
  EXPECT_EQ(decoded.description().missing_frames[0].count, 2);
  EXPECT_TRUE(Has(decoded.description().anomalies, AnomalyKind::kMissingFrame,
                  "frame number 81 follows 78: 2 frames are missing"));
  EXPECT_TRUE(decoded.report.invalid.empty()) << Listed(decoded.report.anomalies);
  EXPECT_EQ(FrameOf(decoded.frames, 2), K2isFrame(81));
  EXPECT_EQ(decoded.report.facts.at(4).sequence_number, 83);

  // The same where the counts go on as if the frames were there.
  TestK2is cut(Ids(77, 6), 0, false);
  for (auto& blocks : cut.sectors) blocks.erase(blocks.begin() + 64, blocks.begin() + 128);
  const TestDirectory other;
  const auto source = Open(cut.Write(other));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().frame_count, 4);
  ASSERT_EQ((*source)->description().missing_frames.size(), 1U)
      << Listed((*source)->description().anomalies);
  EXPECT_EQ((*source)->description().missing_frames[0].count, 2);
}

TEST(K2is, NumbersThatGoBack) {
  const TestDirectory directory;
  TestK2is set({500, 20, 21, 22, 23}, 21, false);
  for (auto& blocks : set.sectors) {
    for (size_t block = 0; block < 32; ++block) blocks[block][9] = std::byte{0};
  }
  auto source = Open(set.Write(directory));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther,
                  "frame number 20 follows 500: before the acquisition's first frame"))
      << Listed((*source)->description().anomalies);
  EXPECT_EQ((*source)->description().first_frame, 2);
  source = Open(TestK2is({20, 21, 22, 5, 6}, 0, false).Write(directory));
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "frame number 5 follows 22"));
}

TEST(K2is, AnAbsentSectorIsRefusedOrMasked) {
  TestK2is set = TestK2is::Series();
  set.sectors[3].clear();
  const TestDirectory directory;
  const auto path = set.Write(directory);
  const auto refused = Open(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::kNotFound);
  EXPECT_NE(refused.error().ToString().find("sector 4 is absent"), std::string::npos);
  EXPECT_NE(refused.error().advice().find("--rescue"), std::string::npos);
  EXPECT_NE(refused.error().advice().find("columns 768 to 1023"), std::string::npos);

  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(path, decoded, true));
  ASSERT_EQ(decoded.description().frame_count, 3);
  EXPECT_EQ(FrameOf(decoded.frames, 0), Without(K2isFrame(78), 768, 1024));
  EXPECT_EQ(FrameOf(decoded.frames, 2), Without(K2isFrame(80), 768, 1024));
  EXPECT_TRUE(decoded.report.invalid.empty());
  const PixelMask& mask = decoded.description().pixel_mask;
  ASSERT_EQ(mask.values.size(), size_t{1860} * 2048);
  EXPECT_EQ(std::ranges::count(mask.values, 1U), 1860 * 256);
  EXPECT_EQ(mask.values[767], 0U);
  EXPECT_EQ(mask.values[768], 1U);
  EXPECT_EQ(mask.values[1023 + 1859 * 2048], 1U);
  EXPECT_EQ(mask.applied, true);
  EXPECT_TRUE(
      Has(decoded.description().anomalies, AnomalyKind::kPartialSector, "sector 4 is absent"));
  EXPECT_EQ(decoded.description().corrections.size(), 1U);
}

TEST(K2is, ASectorThatDoesNotAlignIsRefusedOrMasked) {
  TestK2is set = TestK2is::Series();
  const TestK2is other(Ids(900, 5), 0, false);
  set.sectors[7] = other.sectors[7];  // of another acquisition
  const TestDirectory directory;
  const auto path = set.Write(directory);
  const auto refused = Open(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::kContradiction);
  EXPECT_NE(refused.error().ToString().find("sector 8 does not align with the others"),
            std::string::npos)
      << refused.error().ToString();
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(path, decoded, true));
  EXPECT_EQ(FrameOf(decoded.frames, 1), Without(K2isFrame(79), 1792, 2048));

  // No block at all.
  set.sectors[7] = {Bytes(100000, std::byte{7})};
  const auto without = Open(set.Write(directory));
  ASSERT_FALSE(without.ok());
  EXPECT_NE(without.error().ToString().find("sector 8 has no block"), std::string::npos);
  EXPECT_TRUE(Open(path, true).ok());
  // An empty file.
  directory.Write("scan_8.bin", Bytes());
  ASSERT_FALSE(Open(path).ok());
  EXPECT_TRUE(Open(path, true).ok());
}

TEST(K2is, AShortSectorEndsTheAcquisitionOrIsMasked) {
  TestK2is set = TestK2is::Series();
  set.sectors[1].resize(2 * 32 + 5);
  const TestDirectory directory;
  const auto path = set.Write(directory);
  Decoded decoded;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(path, decoded));
  ASSERT_EQ(decoded.description().frame_count, 1);
  EXPECT_TRUE(Has(decoded.description().anomalies, AnomalyKind::kTruncated,
                  "sector 2 ends 2 frames before the others"))
      << Listed(decoded.description().anomalies);
  EXPECT_EQ(decoded.frames, K2isFrame(78));
  Decoded rescued;
  ASSERT_NO_FATAL_FAILURE(OpenAndDecode(path, rescued, true));
  ASSERT_EQ(rescued.description().frame_count, 3);
  EXPECT_EQ(FrameOf(rescued.frames, 2), Without(K2isFrame(80), 256, 512));
}

TEST(K2is, ACopiedSectorIsAContradiction) {
  TestK2is set = TestK2is::Series();
  TestK2is full({77, 78, 79, 80, 81});
  set.sectors[5] = full.sectors[5];
  set.sectors[6] = full.sectors[5];
  const TestDirectory directory;
  const auto source = Open(set.Write(directory));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "the same pixels as in scan_6.bin"))
      << Listed((*source)->description().anomalies);
}

TEST(K2is, AnySectorAndSpecialCharactersInThePath) {
  const TestDirectory directory;
  const auto gtg = TestK2is(Ids(5, 3), 0, false).Write(directory);
  const auto folder = gtg.parent_path() / "a [1-3]* {b} \u00E9?";
  std::filesystem::create_directory(folder);
  for (int i = 1; i <= 8; ++i) {
    const std::string name = std::to_string(i) + ".bin";
    std::filesystem::rename(gtg.parent_path() / ("scan_" + name), folder / ("run1[" + name));
  }
  std::filesystem::rename(gtg, folder / "run1[.gtg");
  for (const char* name : {"run1[.gtg", "run1[1.bin", "run1[8.bin"}) {
    const auto source = Open(folder / name);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().suggested_name, "run1[");
    EXPECT_EQ((*source)->description().files.size(), 9U);
  }
  // A prefix that ends with a digit.
  for (int i = 1; i <= 8; ++i) {
    const std::string name = std::to_string(i) + ".bin";
    std::filesystem::rename(folder / ("run1[" + name), folder / ("run1" + name));
  }
  const auto source = Open(folder / "run13.bin");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().suggested_name, "run1");
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "there is no run1.gtg"));
}

TEST(K2is, ADamagedGtgIsRefusedWithAdvice) {
  const TestDirectory directory;
  const auto gtg = TestK2is(Ids(5, 3), 0, false).Write(directory, std::pair{1U, 2U});
  Bytes tags = K2isTags(std::pair{1U, 2U}).Build();
  tags.resize(tags.size() / 2);
  directory.Write("scan_.gtg", tags);
  const auto source = Open(gtg);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().ToString().find("the file ends inside"), std::string::npos);
  EXPECT_NE(source.error().ToString().find("--scan-shape"), std::string::npos);
}

TEST(K2is, RandomDamageNeverCrashes) {
  const TestDirectory directory;
  for (unsigned seed = 1; seed <= 12; ++seed) {
    TestK2is set(Ids(5, 3), 0, false);
    unsigned state = seed * 2654435761U;
    const auto next = [&state](unsigned limit) {
      state = state * 1664525U + 1013904223U;
      return (state >> 8) % limit;
    };
    for (auto& blocks : set.sectors) {
      for (int i = 0; i < 6; ++i) {
        Bytes& block = blocks[next(static_cast<unsigned>(blocks.size()))];
        if (block.size() < 64) continue;
        block[next(40)] = static_cast<std::byte>(next(256));
        if (next(3) == 0) block.resize(next(static_cast<unsigned>(block.size())));
      }
    }
    const auto source = Open(set.Write(directory), seed % 2 == 0);
    if (!source.ok()) continue;
    TestReport report;
    const auto frames = DecodeAll(**source, report);
    EXPECT_TRUE(frames.ok()) << frames.error().ToString();
  }
}

}  // namespace
}  // namespace penstock::ingest
