#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstring>

#include "ingest/formats/raw/raw_format.h"
#include "penstock/ingest/registry.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

class SilentReport final : public DecodeReport {
 public:
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
};

class RecordedBytes final : public RawBytesObserver {
 public:
  void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
    EXPECT_EQ(file, 0U);
    if (seen.size() < offset + bytes.size()) seen.resize(offset + bytes.size(), '?');
    std::memcpy(seen.data() + offset, bytes.data(), bytes.size());
  }
  std::string seen;
};

template <typename T>
std::vector<T> DecodeAs(const FrameSource& source, int64_t first, int64_t last,
                        RawBytesObserver* observer = nullptr) {
  const auto pixels =
      static_cast<size_t>((last - first) * source.description().signal.pixel_count());
  std::vector<T> values(pixels);
  SilentReport report;
  DecodeContext context;
  context.report = &report;
  context.observer = observer;
  const Status status =
      source.Decode(first, last, std::as_writable_bytes(std::span(values)), context);
  EXPECT_TRUE(status.ok()) << status.error().ToString();
  return values;
}

OpenOptions Options(int64_t rows, int64_t columns, ElementType type) {
  OpenOptions options;
  options.signal_shape = {rows, columns};
  options.element_type = type;
  return options;
}

TEST(Raw, ByteOrderDecidesOverTheValue) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.raw", std::string_view("\x01\x02\x00\x00", 4));
  OpenOptions options = Options(1, 2, ElementType::kUint16);
  EXPECT_EQ(DecodeAs<uint16_t>(**OpenSource(path, "raw", options), 0, 1),
            (std::vector<uint16_t>{513, 0}));
  options.big_endian = true;
  EXPECT_EQ(DecodeAs<uint16_t>(**OpenSource(path, "raw", options), 0, 1),
            (std::vector<uint16_t>{258, 0}));
}

TEST(Raw, BigEndianFloatsAndComplexNumbers) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.raw", std::string_view("\x3f\x80\x00\x00\xc0\x00\x00\x00", 8));
  OpenOptions options = Options(1, 2, ElementType::kFloat32);
  options.big_endian = true;
  EXPECT_EQ(DecodeAs<float>(**OpenSource(path, "raw", options), 0, 1),
            (std::vector<float>{1.0F, -2.0F}));
  // Real part first: only the parts are reversed, not their order.
  options = Options(1, 1, ElementType::kComplex64);
  options.big_endian = true;
  EXPECT_EQ(DecodeAs<std::complex<float>>(**OpenSource(path, "raw", options), 0, 1),
            (std::vector<std::complex<float>>{{1.0F, -2.0F}}));
}

TEST(Raw, HeadersAndFootersAreSkippedAndSeenByTheObserver) {
  const TemporaryFolder folder;
  // File header "FILE", then records of "h", two pixels, "ff".
  const std::string bytes = "FILEhabffhcdffheff";
  const auto path = folder.Write("x.raw", bytes);
  OpenOptions options = Options(1, 2, ElementType::kUint8);
  options.file_header_bytes = 4;
  options.frame_header_bytes = 1;
  options.frame_footer_bytes = 2;
  auto source = OpenSource(path, "raw", options);
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->description().frame_count, 2);
  RecordedBytes observer;
  EXPECT_EQ(DecodeAs<uint8_t>(**source, 0, 2, &observer),
            (std::vector<uint8_t>{'a', 'b', 'c', 'd'}));
  EXPECT_EQ(DecodeAs<uint8_t>(**source, 1, 2), (std::vector<uint8_t>{'c', 'd'}));
  EXPECT_EQ(observer.seen, "????habffhcdff");

  // Four bytes are left over: said, with their place.
  ASSERT_EQ((*source)->description().anomalies.size(), 1U);
  const Anomaly& anomaly = (*source)->description().anomalies.front();
  EXPECT_EQ(anomaly.kind, AnomalyKind::kTruncated);
  EXPECT_EQ(anomaly.byte_offset, 14U);
  EXPECT_EQ(anomaly.frame, 2);
}

TEST(Raw, ObserverSeesTheBytesOfTheFileNotTheSwappedOnes) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.raw", "abcd");
  OpenOptions options = Options(1, 2, ElementType::kUint16);
  options.big_endian = true;
  RecordedBytes observer;
  EXPECT_EQ(DecodeAs<uint16_t>(**OpenSource(path, "raw", options), 0, 1, &observer),
            (std::vector<uint16_t>{0x6162, 0x6364}));
  EXPECT_EQ(observer.seen, "abcd");
}

TEST(Raw, WithoutShapeTheErrorListsWhatWouldFit) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.raw", std::string(2 * 256 * 256 * 2, 'x'));
  const auto source = OpenSource(path, "raw", {});
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_THAT(source.error().advice(), HasSubstr("--sig-shape"));
  EXPECT_THAT(source.error().advice(), HasSubstr("256,256 uint16: 2 frames"));
}

TEST(Raw, RefusesWhatHoldsNoFrame) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.raw", "abc");
  const auto short_file = OpenSource(path, "raw", Options(2, 2, ElementType::kUint8));
  ASSERT_FALSE(short_file.ok());
  EXPECT_EQ(short_file.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(short_file.error().found(), "a file of 3 bytes");
  OpenOptions long_header = Options(1, 1, ElementType::kUint8);
  long_header.file_header_bytes = 4;
  EXPECT_EQ(OpenSource(path, "raw", long_header).error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(OpenSource(path, "raw", Options(0, 4, ElementType::kUint8)).error().kind(),
            ErrorKind::kInvalidArgument);
  const int64_t huge = int64_t{1} << 40;
  EXPECT_EQ(OpenSource(path, "raw", Options(huge, huge, ElementType::kFloat64)).error().kind(),
            ErrorKind::kInvalidArgument);
  OpenOptions overflowing = Options(1, 1, ElementType::kUint8);
  overflowing.frame_header_bytes = UINT64_MAX;
  EXPECT_EQ(OpenSource(path, "raw", overflowing).error().kind(), ErrorKind::kInvalidArgument);
}

TEST(Raw, RefusesDirectoriesAndPipesWithoutWaiting) {
  const TemporaryFolder folder;
  EXPECT_EQ(OpenSource(folder.path(), "raw", {}).error().found(), "a directory");
  const auto pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(OpenSource(pipe, "", {}).error().found(), "a device, pipe or socket");
}

}  // namespace
}  // namespace penstock::ingest
