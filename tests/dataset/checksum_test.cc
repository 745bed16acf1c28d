#include "penstock/dataset/checksum.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/dataset/block_layout.h"

namespace penstock {
namespace {

// Reference values: python-xxhash 3.x, xxh3_128_hexdigest and xxh3_64_intdigest.
TEST(ChecksumTest, ReferenceValues) {
  EXPECT_EQ(HashBytes({}), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(HashBytes(AsBytes("penstock")), "c6932a2f07b073d6763ffab4001f7bdf");
  EXPECT_EQ(HashExtent(AsBytes("penstock")), 0xfb5a0b813e4c7327U);
  std::string long_text;
  for (int i = 0; i < 100000; ++i) long_text += std::to_string(i);
  EXPECT_EQ(HashBytes(AsBytes(long_text)), "8f88567a4c5b911eac08965b581e1280");
}

TEST(ChecksumTest, PiecesGiveTheSameAsTheWhole) {
  std::vector<std::byte> bytes(2 * kExtentBytes + 12345);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i >> 7);
  FileHasher file;
  ExtentHasher extents;
  size_t at = 0;
  for (size_t piece = 1; at < bytes.size(); piece = piece * 3 % 1000003) {
    const auto part = std::span(bytes).subspan(at, std::min(piece, bytes.size() - at));
    file.Update(part);
    extents.Update(part);
    at += part.size();
  }
  EXPECT_EQ(file.HexDigest(), HashBytes(bytes));
  const std::span<const std::byte> all(bytes);
  EXPECT_EQ(extents.Finish(),
            (std::vector<uint64_t>{HashExtent(all.first(kExtentBytes)),
                                   HashExtent(all.subspan(kExtentBytes, kExtentBytes)),
                                   HashExtent(all.subspan(2 * kExtentBytes))}));
}

TEST(ChecksumTest, HashFileReadsEverything) {
  const std::string path = testing::TempDir() + "penstock_checksum_" + std::to_string(getpid());
  std::string contents(3 << 20, 'x');
  contents += "end";
  ASSERT_TRUE(WriteNewFile(path, contents).ok());
  const auto hash = HashFile(path);
  ASSERT_TRUE(hash.ok());
  EXPECT_EQ(*hash, HashBytes(AsBytes(contents)));
  std::filesystem::remove(path);
  EXPECT_EQ(HashFile(path).error().kind(), ErrorKind::kNotFound);
}

}  // namespace
}  // namespace penstock
