#include "penstock/base/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "penstock/base/file.h"

namespace penstock {
namespace {

class Npy : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("npy_test." + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Version 1.0 unless told otherwise; `literal` as it is, unpadded.
  std::string File(const std::string& literal, const std::string& elements, int version = 1) const {
    std::string bytes("\x93NUMPY", 6);
    bytes += static_cast<char>(version);
    bytes += '\0';
    bytes += static_cast<char>(literal.size() & 0xff);
    bytes += static_cast<char>(literal.size() >> 8);
    if (version > 1) bytes += std::string(2, '\0');
    return bytes + literal + elements;
  }

  std::filesystem::path Write(const std::string& bytes) const {
    const std::filesystem::path path = folder_ / "array.npy";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  static std::string BytesOf(const NpyArray& array) {
    return {reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size()};
  }

  std::filesystem::path folder_;
};

TEST_F(Npy, HeaderIsByteForByteWhatNumpyWrites) {
  // np.save("x.npy", np.zeros((2, 3), "<u2")) of NumPy 1.24, first 128 bytes.
  const std::string literal = "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3), }";
  const std::string expected = std::string("\x93NUMPY\x01\x00\x76\x00", 10) + literal +
                               std::string(128 - 10 - literal.size() - 1, ' ') + "\n";
  const std::vector<int64_t> shape{2, 3};
  const Result<std::string> header = MakeNpyHeader(ElementType::kUint16, shape);
  ASSERT_TRUE(header.ok());
  // Penstock pads to the next multiple of 64, NumPy the same plus room for growth of one axis.
  EXPECT_EQ(header->size() % 64, 0U);
  EXPECT_EQ(header->substr(10, literal.size()), expected.substr(10, literal.size()));
  EXPECT_EQ(header->back(), '\n');
  const Result<NpyHeader> parsed = ParseNpyHeader(AsBytes(expected), "x.npy");
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(parsed->data_offset, 128U);
  EXPECT_EQ(parsed->shape, shape);
  EXPECT_EQ(parsed->element_type, ElementType::kUint16);
  EXPECT_EQ(parsed->data_bytes, 12U);
}

TEST_F(Npy, RoundTripsEveryTypeAndRank) {
  const std::vector<std::vector<int64_t>> shapes{{}, {0}, {7}, {2, 3}, {2, 3, 4, 5}};
  for (int type = 0; type <= static_cast<int>(ElementType::kComplex128); ++type) {
    for (const std::vector<int64_t>& shape : shapes) {
      const auto element_type = static_cast<ElementType>(type);
      size_t count = ElementSize(element_type);
      for (const int64_t length : shape) count *= static_cast<size_t>(length);
      std::string elements(count, '\0');
      for (size_t i = 0; i < count; ++i) elements[i] = static_cast<char>(i * 37 + 1);
      const std::filesystem::path path = folder_ / "round.npy";
      ASSERT_TRUE(WriteNpy(path, element_type, shape, AsBytes(elements)).ok());
      const Result<NpyArray> array = ReadNpy(path, 1 << 20);
      ASSERT_TRUE(array.ok()) << array.error().ToString();
      EXPECT_EQ(array->element_type, element_type);
      EXPECT_EQ(array->shape, shape);
      EXPECT_EQ(BytesOf(*array), elements);
    }
  }
}

TEST_F(Npy, ReadsFortranOrderAndBigEndian) {
  // [[1, 2, 3], [4, 5, 6]] stored column by column, big-endian.
  const std::string elements("\0\1\0\4\0\2\0\5\0\3\0\6", 12);
  const Result<NpyArray> array = ReadNpy(
      Write(File("{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3)}\n", elements)), 100);
  ASSERT_TRUE(array.ok()) << array.error().ToString();
  EXPECT_EQ(BytesOf(*array), std::string("\1\0\2\0\3\0\4\0\5\0\6\0", 12));
}

TEST_F(Npy, ReadsFortranOrderOfThreeAxes) {
  // np.asfortranarray(np.arange(24, dtype="u1").reshape(2, 3, 4))
  std::string elements;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) elements += static_cast<char>(i * 12 + j * 4 + k);
    }
  }
  const Result<NpyArray> array = ReadNpy(
      Write(File("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }\n", elements)), 24);
  ASSERT_TRUE(array.ok()) << array.error().ToString();
  for (int i = 0; i < 24; ++i) EXPECT_EQ(array->bytes[static_cast<size_t>(i)], std::byte(i));
}

TEST_F(Npy, ReadsVersions2And3AndBooleansAndPython2Longs) {
  for (const int version : {2, 3}) {
    const Result<NpyArray> array = ReadNpy(
        Write(File(R"({"shape": (2L,), "descr": "|b1", "fortran_order": False})", "\1\1", version)),
        100);
    ASSERT_TRUE(array.ok()) << array.error().ToString();
    EXPECT_TRUE(array->is_boolean);
    EXPECT_EQ(array->shape, std::vector<int64_t>{2});
  }
}

TEST_F(Npy, RefusesMalformedHeaders) {
  const std::vector<std::string> literals{
      "",
      "{",
      "{'descr': '<u2'",
      "{'descr': '<u2', 'fortran_order': False}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2)}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2 3)}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (-2,)}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), 'shape': (2,)}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), 'more': 1}",
      "{'descr': '<u2', 'fortran_order': maybe, 'shape': (2,)}",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)} x",
      "{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<u8', 'fortran_order': False, 'shape': (2305843009213693952, 8)}",
      "{'descr': '<u2' 'fortran_order': False, 'shape': (2,)}",
  };
  for (const std::string& literal : literals) {
    const Result<NpyHeader> header = ReadNpyHeader(Write(File(literal, "")));
    ASSERT_FALSE(header.ok()) << literal;
    EXPECT_EQ(header.error().kind(), ErrorKind::kCorrupt) << literal;
    EXPECT_NE(header.error().file(), "") << literal;
  }
  for (const std::string& type :
       std::vector<std::string>{"'<f2'", "'|O'", "'<U4'", "[('a', '<u2')]", "'u2'"}) {
    const Result<NpyHeader> header = ReadNpyHeader(
        Write(File("{'descr': " + type + ", 'fortran_order': False, 'shape': ()}", "")));
    ASSERT_FALSE(header.ok()) << type;
    EXPECT_EQ(header.error().kind(), ErrorKind::kUnsupported) << type;
  }
}

TEST_F(Npy, EveryPrefixOfAHeaderIsRefused) {
  const std::vector<int64_t> shape{3};
  const std::string header = *MakeNpyHeader(ElementType::kFloat64, shape);
  for (size_t size = 0; size < header.size(); ++size) {
    const std::string part = header.substr(0, size);
    EXPECT_FALSE(ParseNpyHeader(AsBytes(part), "x.npy").ok()) << size;
  }
  EXPECT_TRUE(ParseNpyHeader(AsBytes(header), "x.npy").ok());
}

TEST_F(Npy, RefusesAHeaderLengthBeyondTheBoundWithoutReadingIt) {
  std::string bytes("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13);
  const Result<NpyHeader> header = ParseNpyHeader(AsBytes(bytes), "x.npy");
  ASSERT_FALSE(header.ok());
  EXPECT_EQ(header.error().found(), "4294967295");
}

TEST_F(Npy, RefusesFilesOfAnotherLengthThanTheirHeaderSays) {
  const std::string literal = "{'descr': '<u2', 'fortran_order': False, 'shape': (4,)}";
  for (const size_t size : {0U, 7U, 9U}) {
    const Result<NpyArray> array = ReadNpy(Write(File(literal, std::string(size, 'x'))), 100);
    ASSERT_FALSE(array.ok());
    EXPECT_EQ(array.error().kind(), ErrorKind::kCorrupt);
    EXPECT_EQ(array.error().expected(), std::to_string(10 + literal.size() + 8) + " bytes");
  }
  // The limit counts before anything is allocated: the header asks for 2 TB.
  const Result<NpyArray> large = ReadNpy(
      Write(File("{'descr': '<u2', 'fortran_order': False, 'shape': (1000000000000,)}", "")), 1000);
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().kind(), ErrorKind::kUnsupported);
}

TEST_F(Npy, WriterRefusesAShapeThatDoesNotFit) {
  const std::vector<int64_t> shape{2, 3};
  const Status written = WriteNpy(folder_ / "x.npy", ElementType::kUint16, shape, AsBytes("12345"));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x.npy"));
}

}  // namespace
}  // namespace penstock
