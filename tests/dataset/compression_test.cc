// Compressed chunks against Blosc itself, and against damage in every byte.

#include "penstock/dataset/compression.h"

#include <blosc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace penstock {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

// Counts as a detector gives them: most pixels are zero.
Bytes SparsePixels(size_t elements, size_t element_bytes, uint32_t seed = 1) {
  std::mt19937 random(seed);
  Bytes pixels(elements * element_bytes);
  for (size_t i = 0; i < elements; ++i) {
    if (random() % 20 == 0) pixels[i * element_bytes] = static_cast<std::byte>(random() % 5);
  }
  return pixels;
}

Bytes Noise(size_t bytes) {
  std::mt19937 random(2);
  Bytes noise(bytes);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random());
  return noise;
}

Bytes Compressed(Compression compression, size_t element_bytes, const Bytes& pixels) {
  Bytes stored(StoredChunkLimit(pixels.size()));
  const auto size = CompressChunk(compression, element_bytes, pixels, stored);
  EXPECT_TRUE(size.ok()) << size.error().ToString();
  stored.resize(*size);
  return stored;
}

TEST(Compression, NamesAreBloscs) {
  EXPECT_EQ(*ParseCompression("zstd"), Compression::kZstd);
  EXPECT_EQ(CompressionName(Compression::kLz4), "lz4");
  EXPECT_EQ(*ParseCompression("none"), Compression::kNone);
  EXPECT_EQ(ParseCompression("gzip").error().kind(), ErrorKind::kInvalidArgument);
}

// Whole blocks, a last block that is shorter, numbers of elements that fill no whole byte of a
// plane, less than Blosc compresses at all.
TEST(Compression, RoundTripsAsBloscDecodes) {
  ChunkDecoder decoder;
  for (const Compression compression : {Compression::kLz4, Compression::kZstd}) {
    for (const size_t element_bytes : {1, 2, 4, 8, 16}) {
      for (const size_t elements : {1, 7, 8, 100, 128, 4096, 16384, 65537, 300'000, 262'144}) {
        SCOPED_TRACE(std::string(CompressionName(compression)) + ", " + std::to_string(elements) +
                     " of " + std::to_string(element_bytes));
        for (const bool noise : {false, true}) {
          const Bytes pixels =
              noise ? Noise(elements * element_bytes) : SparsePixels(elements, element_bytes);
          const Bytes stored = Compressed(compression, element_bytes, pixels);
          Bytes decoded(pixels.size(), std::byte{0xcd});
          const Status status = decoder.Decode(element_bytes, stored, decoded);
          ASSERT_TRUE(status.ok()) << status.error().ToString();
          EXPECT_EQ(std::memcmp(decoded.data(), pixels.data(), pixels.size()), 0);
          Bytes by_blosc(pixels.size());
          EXPECT_EQ(blosc_decompress_ctx(stored.data(), by_blosc.data(), by_blosc.size(), 1),
                    static_cast<int>(pixels.size()));
          EXPECT_EQ(std::memcmp(by_blosc.data(), pixels.data(), pixels.size()), 0);
        }
      }
    }
  }
}

// What other writers of the same codec choose.
TEST(Compression, DecodesOtherBlockSizesAndShuffles) {
  ChunkDecoder decoder;
  const Bytes pixels = SparsePixels(50'000, 2);
  for (const char* name : {"lz4", "zstd"}) {
    for (const int shuffle : {BLOSC_NOSHUFFLE, BLOSC_SHUFFLE, BLOSC_BITSHUFFLE}) {
      for (const size_t block : {0, 512, 1000, 65536}) {
        for (const int level : {0, 1, 9}) {
          SCOPED_TRACE(std::string(name) + " " + std::to_string(shuffle) + " " +
                       std::to_string(block) + " " + std::to_string(level));
          Bytes stored(pixels.size() + BLOSC_MAX_OVERHEAD);
          const int size = blosc_compress_ctx(level, shuffle, 2, pixels.size(), pixels.data(),
                                              stored.data(), stored.size(), name, block, 1);
          ASSERT_GT(size, 0);
          stored.resize(static_cast<size_t>(size));
          Bytes decoded(pixels.size());
          const Status status = decoder.Decode(2, stored, decoded);
          ASSERT_TRUE(status.ok()) << status.error().ToString();
          EXPECT_EQ(decoded, pixels);
        }
      }
    }
  }
}

TEST(Compression, CountingDataBecomesSmall) {
  const Bytes pixels = SparsePixels(131'072, 2);
  EXPECT_LT(Compressed(Compression::kLz4, 2, pixels).size(), pixels.size() / 8);
  EXPECT_LT(Compressed(Compression::kZstd, 2, pixels).size(),
            Compressed(Compression::kLz4, 2, pixels).size());
  // And noise grows by a header.
  EXPECT_EQ(Compressed(Compression::kLz4, 2, Noise(131'072)).size(), 131'072U + 16);
}

TEST(Compression, SizesThatContradictTheDatasetAreRefused) {
  ChunkDecoder decoder;
  const Bytes pixels = SparsePixels(4096, 2);
  Bytes stored = Compressed(Compression::kLz4, 2, pixels);
  Bytes decoded(pixels.size());
  const auto expect = [&](const Bytes& bytes, size_t element_bytes, size_t pixel_bytes,
                          const std::string& found) {
    decoded.resize(pixel_bytes);
    const Status status = decoder.Decode(element_bytes, bytes, decoded);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(status.error().ToString(), HasSubstr(found));
  };
  expect(stored, 4, 8192, "found version 2, elements of 2 bytes");
  expect(stored, 2, 8190, "8192 bytes stored as");
  expect(Bytes(stored.begin(), stored.end() - 1), 2, 8192,
         "stored as " + std::to_string(stored.size()));
  expect(Bytes(10), 2, 8192, "10 bytes in all");
  expect({}, 2, 8192, "0 bytes in all");
  // Sizes of 4 GiB and blocks without end.
  const auto with = [&](size_t at, uint32_t value) {
    Bytes changed = stored;
    std::memcpy(changed.data() + at, &value, sizeof value);
    return changed;
  };
  expect(with(4, 0xffffffff), 2, 8192, "4294967295 bytes stored as");
  expect(with(8, 0), 2, 8192, "found 0");
  expect(with(8, 1), 2, 8192, "found 1");
  expect(with(8, 0x80000000), 2, 8192, "found 2147483648");
  expect(with(12, 0x7fffffff), 2, 8192, "stored as 2147483647");
  expect(with(16, 0xfffffff0), 2, 8192, "it begins at 4294967280");
  expect(with(20, 0x7fffffff), 2, 8192, "a stream of 2147483647 bytes at 24");
}

// Right pixels or an error, never a crash; with sanitizers never a byte out of bounds.
TEST(Compression, AnyDamagedByteIsHarmless) {
  ChunkDecoder decoder;
  std::mt19937 random(3);
  for (const Compression compression : {Compression::kLz4, Compression::kZstd}) {
    for (const size_t elements : {1000, 1001}) {
      const Bytes stored = Compressed(compression, 2, SparsePixels(elements, 2));
      Bytes decoded(elements * 2);
      for (size_t at = 0; at < stored.size(); ++at) {
        for (const int value : {0x00, 0xff, 0x80, -1}) {
          Bytes damaged = stored;
          damaged[at] = value < 0 ? static_cast<std::byte>(random()) : std::byte(value);
          (void)decoder.Decode(2, damaged, decoded);
          damaged.resize(at);
          EXPECT_FALSE(decoder.Decode(2, damaged, decoded).ok());
        }
      }
    }
  }
}

}  // namespace
}  // namespace penstock
