// Damaged files: an error or a report that names the place, never a crash.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "ingest/formats/mib/mib_format.h"
#include "tests/ingest/mib_open_helpers.h"

namespace penstock::ingest {
namespace {

using Kind = AnomalyKind;

struct Malformed {
  const char* name;
  Bytes contents;
  ErrorKind kind;
  std::string text;  // in the message
};

Bytes WithText(const std::string& from, const std::string& to) {
  Bytes bytes = Frames(1, 2);
  std::string text(reinterpret_cast<const char*>(bytes.data()), 384);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.resize(384);
  std::memcpy(bytes.data(), text.data(), 384);
  return bytes;
}

Bytes Cut(size_t bytes) {
  Bytes cut = Frames(1, 1);
  cut.resize(bytes);
  return cut;
}

Bytes RawWith(const std::function<void(TestHeader&)>& change) {
  TestHeader header;
  header.type = "R64";
  header.width = 256;
  header.rows = 32;
  header.depth = 6;
  change(header);
  Bytes bytes = header.Padded();
  bytes.resize(bytes.size() + 256 * 256 * 8);
  return bytes;
}

class MibMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(MibMalformed, IsAClearError) {
  const TestDirectory directory;
  const auto path = directory.Write("bad.mib", GetParam().contents);
  const Error error = OpenError(path);
  EXPECT_EQ(error.kind(), GetParam().kind) << error.ToString();
  EXPECT_EQ(error.file(), path.string());
  EXPECT_NE(error.ToString().find(GetParam().text), std::string::npos) << error.ToString();
}

INSTANTIATE_TEST_SUITE_P(
    All, MibMalformed,
    testing::Values(
        Malformed{"Empty", {}, ErrorKind::kCorrupt, "the file is empty"},
        Malformed{"NotMerlin", Bytes(1000), ErrorKind::kCorrupt, "not a Merlin frame header"},
        Malformed{"FourBytes", Bytes(4), ErrorKind::kCorrupt, "not a Merlin frame header"},
        Malformed{"HeaderLengthNoNumber", WithText("00384", "00x84"), ErrorKind::kCorrupt,
                  "field 3"},
        Malformed{"HeaderLengthTooSmall", WithText("00384", "00063"), ErrorKind::kCorrupt,
                  "64 to 65536"},
        Malformed{"HeaderLengthTooLarge", WithText("00384", "99999"), ErrorKind::kCorrupt,
                  "64 to 65536"},
        Malformed{"HeaderBeyondFile", WithText("00384", "60000"), ErrorKind::kCorrupt,
                  "ends inside a Merlin frame header"},
        Malformed{"HeaderCut", Cut(200), ErrorKind::kCorrupt, "ends inside"},
        Malformed{"PayloadCut", Cut(400), ErrorKind::kCorrupt, "no complete frame"},
        Malformed{"ZeroColumns", WithText(",0016,", ",0000,"), ErrorKind::kCorrupt, "field 5"},
        Malformed{"ZeroRows", WithText(",0004,", ",0000,"), ErrorKind::kCorrupt, "field 6"},
        Malformed{"NegativeRows", WithText(",0004,", ",-004,"), ErrorKind::kCorrupt, "field 6"},
        Malformed{"HugeFrame", WithText(",0016,0004,", ",4000000000,4000000000,"),
                  ErrorKind::kUnsupported, "larger than any detector"},
        Malformed{"LargerThanFile", WithText(",0016,", ",9999,"), ErrorKind::kCorrupt,
                  "no complete frame"},
        Malformed{"UnknownType", WithText("U16", "F32"), ErrorKind::kCorrupt, "field 7"},
        Malformed{"U64", WithText("U16", "U64"), ErrorKind::kUnsupported, "pixel type U64"},
        Malformed{"U01", WithText("U16", "U01"), ErrorKind::kUnsupported, "pixel type U01"},
        Malformed{"SequenceNoNumber", WithText("000001", "00000x"), ErrorKind::kCorrupt, "field 2"},
        Malformed{"ChipSelectNoNumber", WithText(",01,2024", ",0z,2024"), ErrorKind::kCorrupt,
                  "field 9"},
        Malformed{"FewFields",
                  [] {
                    Bytes bytes = Frames(1, 2);
                    std::fill(bytes.begin() + 50, bytes.begin() + 384, std::byte{0});
                    return bytes;
                  }(),
                  ErrorKind::kCorrupt, "too short"},
        Malformed{"PaddingHoldsText", WithText(std::string(3, '\0'), std::string("\0x\0", 3)),
                  ErrorKind::kCorrupt, "padding"},
        Malformed{"Binary", WithText("3RX", "\x01\x02\x03"), ErrorKind::kCorrupt, "not text"},
        Malformed{"DepthNoNumber", WithText("ns,12", "ns,1x"), ErrorKind::kCorrupt,
                  "counter depth"},
        Malformed{"LiveDump",
                  Joined(
                      [] {
                        Bytes prefix(15);
                        std::memcpy(prefix.data(), "MPX,0000000513,", 15);
                        return prefix;
                      }(),
                      Frames(1, 1)),
                  ErrorKind::kUnsupported, "live stream"},
        Malformed{"RawWithoutDepth",
                  [] {
                    Bytes bytes = RawWith([](TestHeader&) {});
                    auto* text = reinterpret_cast<char*>(bytes.data());
                    std::memcpy(std::strstr(text, "MQ1A"), "XXXX", 4);
                    return bytes;
                  }(),
                  ErrorKind::kCorrupt, "does not state the counter depth"},
        Malformed{"RawOfDepth7", RawWith([](TestHeader& h) { h.depth = 7; }), ErrorKind::kCorrupt,
                  "unknown counter depth"},
        Malformed{"RawOfFourByOne", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.layout = "   Nx1";
                    h.chip_select = "0F";
                    h.width = 1024;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawFourChipsOneByOne", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.chip_select = "0F";
                    h.width = 1024;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawOfTwoChips", RawWith([](TestHeader& h) {
                    h.chips = 2;
                    h.layout = "   2x2";
                    h.chip_select = "03";
                    h.header_bytes = 768;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawQuadOfWrongWidth", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.layout = "   2x2";
                    h.chip_select = "0F";
                    h.width = 512;
                  }),
                  ErrorKind::kContradiction, "1024 columns"},
        Malformed{"Raw24OfWrongWidth", RawWith([](TestHeader& h) { h.depth = 24; }),
                  ErrorKind::kContradiction, "512 columns"},
        Malformed{"RawOfTooManyRows", RawWith([](TestHeader& h) { h.rows = 257; }),
                  ErrorKind::kContradiction, "at most 256 rows"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MibFlags, TruncatedLastFrameIsLeftOutAndReported) {
  const TestDirectory directory;
  Bytes bytes = Frames(1, 3);
  bytes.resize(bytes.size() - 1);
  const SourceDescription description = Opened(directory.Write("cut.mib", bytes));
  EXPECT_EQ(description.frame_count, 2);
  ASSERT_EQ(description.anomalies.size(), 1U);
  EXPECT_EQ(description.anomalies[0].kind, Kind::kTruncated);
  EXPECT_EQ(description.anomalies[0].byte_offset, 2 * kRecord);
  EXPECT_EQ(description.anomalies[0].frame, 2);
}

// A frame in the middle, where opening does not look, is of another kind.
TEST(MibFlags, SplicedFrameIsAnErrorThatNamesItsPlace) {
  const TestDirectory directory;
  TestHeader other;
  other.sequence = 4;
  other.layout = "   2x2";
  Bytes bytes = Joined(Joined(Frames(1, 3), ProcessedFrame(other)), Frames(5, 5));
  directory.Write("spliced.hdr", TestSidecar(9, 3));  // so that no time stamps are read
  auto source = OpenMib(directory.Write("spliced.mib", bytes));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  auto decoded = DecodeAll(**source, report);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(decoded.error().place(), fmt::format("offset {}, frame 3", 3 * kRecord));
  EXPECT_NE(decoded.error().expected().find("1x1"), std::string::npos);
  EXPECT_NE(decoded.error().found().find("2x2"), std::string::npos);

  std::fill_n(bytes.begin() + 3 * kRecord, 384, std::byte{0});
  source = OpenMib(directory.Write("spliced.mib", bytes));
  ASSERT_TRUE(source.ok());
  decoded = DecodeAll(**source, report);
  ASSERT_FALSE(decoded.ok());
  EXPECT_NE(decoded.error().ToString().find("'MQ1,'"), std::string::npos);
}

TEST(MibFlags, WrongFrameSizeIsFoundAtTheLastFrame) {
  const TestDirectory directory;
  Bytes bytes = Frames(1, 3);
  bytes.insert(bytes.begin() + 500, std::byte{0});  // all later frames are shifted
  bytes.resize(3 * kRecord);
  EXPECT_EQ(OpenError(directory.Write("shifted.mib", bytes)).place(),
            fmt::format("offset {}, frame 2", 2 * kRecord));
}

TEST(MibFlags, FileThatShrinksAfterOpeningIsAnError) {
  const TestDirectory directory;
  const auto path = directory.Write("shrinks.mib", Frames(1, 3));
  auto source = OpenMib(path);
  ASSERT_TRUE(source.ok());
  std::filesystem::resize_file(path, 2 * kRecord + 10);
  TestReport report;
  EXPECT_FALSE(DecodeAll(**source, report).ok());
}

TEST(MibFlags, OddLayoutsOfProcessedDataAreReported) {
  const TestDirectory directory;
  TestHeader header;
  header.depth = 24;
  EXPECT_TRUE(Has(Opened(directory.Write("a.mib", ProcessedFrame(header))).anomalies, Kind::kOther,
                  "pixel type U16 with counter depth 24"));
  header = {};
  header.chips = 4;
  header.header_bytes = 768;
  header.chip_select = "0F";
  EXPECT_TRUE(Has(Opened(directory.Write("b.mib", ProcessedFrame(header))).anomalies,
                  Kind::kHeaderContradiction, "4 chips and layout 1x1"));
}

TEST(MibFlags, DamagedSidecarIsReportedAndTheFramesAreRead) {
  const TestDirectory directory;
  const auto path = directory.Write("scan.mib", Frames(1, 3));
  directory.Write("scan.hdr", std::string("not a sidecar"));
  EXPECT_TRUE(Has(Opened(path).anomalies, Kind::kOther, "not a Merlin .hdr file"));
  directory.Write("scan.hdr", std::string("HDR,\t\r\nFrames in Acquisition (Number):\t3\r\nodd"));
  const SourceDescription description = Opened(path);
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "line 3 has no tab"));
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "no 'End' line"));
  EXPECT_EQ(OpenError(directory.Write("lonely.hdr", std::string("HDR"))).kind(),
            ErrorKind::kNotFound);
}

// Every byte of a small file changed in turn: an error or a report, never a crash.
TEST(MibFlags, NoSingleByteOfAHeaderCanCrash) {
  const TestDirectory directory;
  const Bytes good = Frames(1, 2);
  int refused = 0;
  for (size_t at = 0; at < 384; ++at) {
    for (const std::byte value : {std::byte{0}, std::byte{','}, std::byte{'9'}, std::byte{0xFF}}) {
      Bytes bytes = good;
      bytes[at] = value;
      auto source = OpenMib(directory.Write("fuzz.mib", bytes));
      if (!source.ok()) {
        EXPECT_FALSE(source.error().what().empty());
        ++refused;
        continue;
      }
      const SourceDescription& description = (*source)->description();
      ASSERT_LE(description.frame_count * description.signal.pixel_count(), 4000);
      TestReport report;
      (void)DecodeAll(**source, report).ok();
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace penstock::ingest
