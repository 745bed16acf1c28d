// Pixels: every sample file against the hashes of the reference readers, and every raw mode against
// the formula that its synthetic file is made from.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {
namespace {

using Json = nlohmann::json;

TEST(Sha256, StandardVectors) {
  const auto bytes_of = [](std::string_view text) {
    Bytes bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
  };
  EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex(bytes_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

std::filesystem::path Samples() { return std::filesystem::path(PENSTOCK_SAMPLES) / "samples"; }

Json LoadJson(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return Json::parse(stream);
}

// Entries of one list of reference values whose file is a .mib file.
std::vector<Json> MibEntries(const Json& list) {
  std::vector<Json> entries;
  for (const Json& entry : list) {
    const auto file = entry.at("file").get<std::string>();
    if (file.ends_with(".mib")) entries.push_back(entry);
  }
  return entries;
}

void ExpectReferenceArray(const Json& entry) {
  const auto file = entry.at("file").get<std::string>();
  SCOPED_TRACE(file);
  const Json& decoded = entry.at("decoded");
  auto source = OpenMib(Samples() / file);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  const auto shape = decoded.at("shape").get<std::vector<int64_t>>();
  ASSERT_EQ(shape, (std::vector<int64_t>{description.frame_count, description.signal.rows,
                                         description.signal.columns}));
  EXPECT_EQ(NumpyTypeString(description.element_type), decoded.at("dtype").get<std::string>());
  TestReport report;
  const auto images = DecodeAll(**source, report);
  ASSERT_TRUE(images.ok()) << images.error().ToString();
  EXPECT_EQ(Sha256Hex(*images), decoded.at("sha256").get<std::string>());
  EXPECT_EQ(report.invalid.size(), 0U);

  if (!decoded.contains("header")) return;
  const Json& header = decoded.at("header");
  EXPECT_EQ(report.facts.size(), static_cast<size_t>(description.frame_count));
  for (const auto& [frame, facts] : report.facts) {
    EXPECT_EQ(facts.exposure_ns, header.at("exposure_ns").get<int64_t>());
    const Json& sequence = header.at("sequence");  // long lists end in "..."
    const auto index = static_cast<size_t>(frame);
    if (index < sequence.size() && sequence[index].is_number()) {
      EXPECT_EQ(facts.sequence_number, sequence[index].get<int64_t>());
    }
  }
}

TEST(MibDecode, EveryRealSampleGivesTheReferenceArray) {
  const auto list = Samples() / "groundtruth.json";
  if (!std::filesystem::exists(list)) GTEST_SKIP() << "no samples at " << Samples();
  const std::vector<Json> entries = MibEntries(LoadJson(list));
  ASSERT_GE(entries.size(), 20U);
  for (const Json& entry : entries) ExpectReferenceArray(entry);
}

TEST(MibDecode, EverySyntheticSampleGivesTheReferenceArray) {
  const auto list = Samples() / "synthetic.json";
  if (!std::filesystem::exists(list)) GTEST_SKIP() << "no samples at " << Samples();
  const std::vector<Json> entries = MibEntries(LoadJson(list).at("files"));
  ASSERT_EQ(entries.size(), 4U);
  for (const Json& entry : entries) ExpectReferenceArray(entry);
}

// Hashes of the decoded arrays of the recipe, computed by other readers.
struct RawMode {
  bool quad;
  int depth;
  const char* sha256;
};

class MibRawMode : public testing::TestWithParam<RawMode> {};

TEST_P(MibRawMode, FollowsTheRecipe) {
  const RawMode& mode = GetParam();
  const TestDirectory directory;
  auto source = OpenMib(directory.Write("raw.mib", RawFile(mode.quad, mode.depth, 256)));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const int64_t side = mode.quad ? 512 : 256;
  EXPECT_EQ((*source)->description().signal, (SignalShape{side, side}));
  EXPECT_EQ((*source)->description().frame_count, 2);
  TestReport report;
  const auto images = DecodeAll(**source, report);
  ASSERT_TRUE(images.ok()) << images.error().ToString();
  EXPECT_TRUE(*images == RecipeImages(mode.quad, mode.depth, 256));
  EXPECT_EQ(Sha256Hex(*images), mode.sha256);
}

INSTANTIATE_TEST_SUITE_P(
    All, MibRawMode,
    testing::Values(
        RawMode{false, 1, "c797029bf58147bb936ea84a8dfd5f582df866f53c30052e250608e61b96ea8b"},
        RawMode{true, 1, "6c4b12a32a452cc253b8a07907126b9b930f8dae5f8158775bc000eb8a659c4c"},
        RawMode{true, 12, "369aacff12258f9e32058a0724d41fc6db37498203874a8b9412e72a4ffd2fbd"},
        RawMode{true, 24, "0011f24d0cb32478c0e8e76014708457290e3df3d161bd2c8cc3efa730fa321c"},
        RawMode{false, 6, "1e46dd7fc1707f1dfbbcd3ccc2f6fe2b58cdea2b13eca23c705037ec335f02f6"},
        RawMode{false, 12, "9dfcc756e8ece9e05b558cd5401632aa6f21da10511ed6345b90bc66e195f035"},
        RawMode{false, 24, "fa317b49bd9f732dd2d65add6fbc6cad7887e8453d763e808e6582d5b07a468b"},
        RawMode{true, 6, "d5efe1d0c4017ae0a31808df53b39219d4bc91ef9896e4e31d827c261bb8e55b"}),
    [](const auto& info) {
      return fmt::format("{}{}bit", info.param.quad ? "Quad" : "Single", info.param.depth);
    });

class MibRawRegion : public testing::TestWithParam<std::tuple<bool, int, int>> {};

TEST_P(MibRawRegion, RowsOfARegionGoToTheOuterEdges) {
  const auto [quad, depth, rows] = GetParam();
  const TestDirectory directory;
  auto source = OpenMib(directory.Write("roi.mib", RawFile(quad, depth, rows)));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().signal,
            (SignalShape{(quad ? 2 : 1) * rows, (quad ? 2 : 1) * 256}));
  TestReport report;
  const auto images = DecodeAll(**source, report, 1);
  ASSERT_TRUE(images.ok()) << images.error().ToString();
  EXPECT_TRUE(*images == RecipeImages(quad, depth, rows));
}

INSTANTIATE_TEST_SUITE_P(All, MibRawRegion,
                         testing::Combine(testing::Bool(), testing::Values(1, 6, 12, 24),
                                          testing::Values(1, 32, 64, 128)),
                         [](const auto& info) {
                           return fmt::format("{}{}bit{}rows",
                                              std::get<0>(info.param) ? "Quad" : "Single",
                                              std::get<1>(info.param), std::get<2>(info.param));
                         });

TEST(MibDecode, GapLayoutOfRawDataIsStoredWithoutTheGapAndSaysSo) {
  const TestDirectory directory;
  auto source = OpenMib(directory.Write("gap.mib", RawFile(true, 6, 64, true)));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().signal, (SignalShape{128, 512}));
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "2x2G"));
  TestReport report;
  EXPECT_TRUE(*DecodeAll(**source, report) == RecipeImages(true, 6, 64));
}

TEST(MibDecode, ProcessedTypesAreBigEndian) {
  const TestDirectory directory;
  struct Case {
    const char* type;
    int depth;
    Bytes payload;  // two pixels
    Bytes decoded;
  };
  const auto bytes = [](std::initializer_list<int> values) {
    Bytes result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
  };
  const std::vector<Case> cases = {
      {"U08", 6, bytes({63, 1}), bytes({63, 1})},
      {"U16", 12, bytes({0x0f, 0xff, 0x01, 0x02}), bytes({0xff, 0x0f, 0x02, 0x01})},
      {"U32", 24, bytes({0, 1, 2, 3, 0, 0xff, 0xfe, 0xfd}),
       bytes({3, 2, 1, 0, 0xfd, 0xfe, 0xff, 0})}};
  for (const Case& test : cases) {
    SCOPED_TRACE(test.type);
    TestHeader header;
    header.type = test.type;
    header.depth = test.depth;
    header.width = 2;
    header.rows = 1;
    Bytes file = header.Padded();
    file.insert(file.end(), test.payload.begin(), test.payload.end());
    auto source = OpenMib(directory.Write(std::string(test.type) + ".mib", file));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ(ElementSize((*source)->description().element_type), test.decoded.size() / 2);
    TestReport report;
    EXPECT_EQ(*DecodeAll(**source, report), test.decoded);
  }
}

TEST(MibDecode, HeadersMayBePaddedWithSpacesOrHaveWideSequenceNumbers) {
  const TestDirectory directory;
  TestHeader header;
  header.pad = ' ';
  header.sequence = 123'456'789;
  header.header_bytes = 400;
  auto source = OpenMib(directory.Write("space.mib", ProcessedFrames(header, 3)));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().frame_count, 3);
  TestReport report;
  const auto images = DecodeAll(**source, report);
  ASSERT_TRUE(images.ok());
  EXPECT_EQ(report.facts.at(2).sequence_number, 123'456'791);
  uint16_t pixel = 0;
  std::memcpy(&pixel, images->data() + 2 * (16 * 4 + 16 + 5), 2);  // frame 1, row 1, column 5
  TestHeader second = header;
  second.sequence += 1;
  EXPECT_EQ(pixel, TestPixel(second, 1, 5));
}

struct Pieces final : RawBytesObserver {
  void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_TRUE(seen.emplace(std::pair(file, offset + i), bytes[i]).second);
    }
  }
  std::mutex mutex;
  std::map<std::pair<size_t, uint64_t>, std::byte> seen;
};

TEST(MibDecode, TheObserverSeesEveryByteOfTheFramesOnce) {
  const TestDirectory directory;
  const Bytes first = ProcessedFrames({}, 3);
  TestHeader next;
  next.sequence = 4;
  const Bytes second = ProcessedFrames(next, 2);
  const auto path = directory.Write("s1.mib", first);
  directory.Write("s2.mib", second);
  auto source = OpenMib(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  Pieces pieces;
  ASSERT_TRUE(DecodeAll(**source, report, 2, &pieces).ok());
  ASSERT_EQ(pieces.seen.size(), first.size() + second.size());
  for (size_t i = 0; i < first.size(); ++i) ASSERT_EQ(pieces.seen.at({0, i}), first[i]);
  for (size_t i = 0; i < second.size(); ++i) ASSERT_EQ(pieces.seen.at({1, i}), second[i]);
}

TEST(MibDecode, ThreadsGiveWhatOneThreadGives) {
  const TestDirectory directory;
  std::filesystem::path path;
  constexpr int64_t kFiles = 5;
  constexpr int64_t kPerFile = 40;
  for (int64_t file = 0; file < kFiles; ++file) {
    TestHeader header;
    header.sequence = 1 + file * kPerFile;
    path = directory.Write(fmt::format("run{}.mib", file), ProcessedFrames(header, kPerFile));
  }
  auto source = OpenMib(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  ASSERT_EQ((*source)->description().frame_count, kFiles * kPerFile);
  TestReport alone;
  const auto want = DecodeAll(**source, alone);
  ASSERT_TRUE(want.ok());

  constexpr int64_t kFrameBytes = 16 * 4 * 2;
  Bytes got(want->size());
  TestReport shared;
  std::atomic<int64_t> next{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      DecodeContext context;
      context.report = &shared;
      constexpr int64_t kStep = 7;
      for (;;) {
        const int64_t first = next.fetch_add(kStep);
        if (first >= kFiles * kPerFile) return;
        const int64_t last = std::min(first + kStep, kFiles * kPerFile);
        const auto range =
            std::span(got).subspan(static_cast<size_t>(first * kFrameBytes),
                                   static_cast<size_t>((last - first) * kFrameBytes));
        if (!(*source)->Decode(first, last, range, context).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(got == *want);
  EXPECT_EQ(shared.facts.size(), static_cast<size_t>(kFiles * kPerFile));
  EXPECT_EQ(shared.anomalies.size(), 0U);
}

}  // namespace
}  // namespace penstock::ingest
