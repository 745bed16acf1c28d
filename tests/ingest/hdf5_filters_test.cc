// The filters of HDF5 on bytes written from their descriptions, and on damaged ones.

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "ingest/formats/hdf5/filters.h"

namespace penstock::ingest::hdf5 {
namespace {

using Bytes = std::vector<std::byte>;

Bytes Hex(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Filter Make(int32_t id, std::vector<uint32_t> parameters = {}) {
  return {id, std::move(parameters), ""};
}

Status Undo(const std::vector<Filter>& filters, const Bytes& stored, Bytes& chunk, size_t size = 2,
            uint32_t mask = 0) {
  Bytes scratch(FilterScratchBytes(filters, chunk.size()));
  return UndoFilters(filters, mask, stored, size, scratch, chunk);
}

TEST(Hdf5Filters, Fletcher32OfKnownBytes) {
  // By hand: words 0x0102 and 0x0304, sums 0x0406 and 0x0508.
  EXPECT_EQ(Fletcher32(Hex({1, 2, 3, 4})), 0x05080406U);
  EXPECT_EQ(Fletcher32(Hex({1, 2, 3})), 0x05040402U);
  Bytes chunk(4);
  EXPECT_TRUE(Undo({Make(kFletcher32)}, Hex({1, 2, 3, 4, 0x06, 0x04, 0x08, 0x05}), chunk).ok());
  EXPECT_EQ(chunk, Hex({1, 2, 3, 4}));
  // The order of libraries before 1.6.3.
  EXPECT_TRUE(Undo({Make(kFletcher32)}, Hex({1, 2, 3, 4, 0x04, 0x06, 0x05, 0x08}), chunk).ok());
  EXPECT_FALSE(Undo({Make(kFletcher32)}, Hex({1, 2, 3, 5, 0x06, 0x04, 0x08, 0x05}), chunk).ok());
  EXPECT_FALSE(Undo({Make(kFletcher32)}, Hex({1, 2}), chunk).ok());
}

TEST(Hdf5Filters, Lzf) {
  Bytes out(8);
  // Two literals, then six bytes from two back.
  auto written = UndoLzf(Hex({1, 'a', 'b', 0x80, 1}), out);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(*written, 8U);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(out.data()), 8), "abababab");
  for (const Bytes& bad : {Hex({1, 'a'}), Hex({0x20, 0}), Hex({0, 'a', 0xE0}), Hex({0, 'a', 0x80}),
                           Hex({0, 'a', 0xE0, 200, 0}), Hex({0, 'a', 0x20, 5})}) {
    EXPECT_FALSE(UndoLzf(bad, out).ok());
  }
}

TEST(Hdf5Filters, ShuffleKeepsWhatIsNoWholeElement) {
  Bytes chunk(7);
  ASSERT_TRUE(Undo({Make(kShuffle, {2})}, Hex({1, 3, 5, 2, 4, 6, 9}), chunk).ok());
  EXPECT_EQ(chunk, Hex({1, 2, 3, 4, 5, 6, 9}));
}

TEST(Hdf5Filters, MaskedFiltersAreLeftOut) {
  Bytes chunk(4);
  const std::vector<Filter> filters = {Make(kShuffle, {2}), Make(kDeflate)};
  ASSERT_TRUE(Undo(filters, Hex({1, 3, 2, 4}), chunk, 2, 2).ok());
  EXPECT_EQ(chunk, Hex({1, 2, 3, 4}));
  ASSERT_TRUE(Undo(filters, Hex({1, 3, 2, 4}), chunk, 2, 3).ok());
  EXPECT_EQ(chunk, Hex({1, 3, 2, 4}));
  EXPECT_FALSE(Undo(filters, Hex({1, 3, 2}), chunk, 2, 3).ok());
  EXPECT_FALSE(Undo(filters, Hex({1, 3, 2, 4}), chunk).ok());
}

TEST(Hdf5Filters, BitshuffleRefusesHeadersThatDoNotFit) {
  const Filter filter = Make(kBitshuffle, {0, 3, 2, 0, 2});
  const auto undo = [&](const Bytes& stored) {
    Bytes chunk(32);
    return Undo({filter}, stored, chunk);
  };
  const Bytes header = Hex({0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 32});
  EXPECT_FALSE(undo({}).ok());
  EXPECT_FALSE(undo(header).ok());
  for (const auto& [at, value] : {std::pair{7, 33}, {7, 31}, {6, 1}, {0, 255}, {11, 0}, {11, 8}}) {
    Bytes bad = header;
    bad[static_cast<size_t>(at)] = static_cast<std::byte>(value);
    for (int i = 0; i < 60; ++i) bad.push_back(std::byte{0});
    EXPECT_FALSE(undo(bad).ok()) << at;
  }
}

TEST(Hdf5Filters, RandomBytesNeverPassTheirBuffers) {
  std::mt19937 generator(5);
  const std::vector<std::vector<Filter>> pipelines = {
      {Make(kDeflate)},
      {Make(kLzf)},
      {Make(kLz4)},
      {Make(kZstd)},
      {Make(kBlosc)},
      {Make(kBitshuffle, {0, 3, 2, 0, 2})},
      {Make(kBitshuffle, {0, 3, 2, 0, 3})},
      {Make(kBitshuffle, {0, 3, 2, 0, 0})},
      {Make(kShuffle, {2}), Make(kLzf), Make(kFletcher32)}};
  for (int round = 0; round < 3000; ++round) {
    const auto& filters = pipelines[static_cast<size_t>(round) % pipelines.size()];
    Bytes stored(generator() % 200);
    for (std::byte& byte : stored) {
      byte = static_cast<std::byte>(generator() % 3 == 0 ? generator() : generator() % 4);
    }
    if (stored.size() > 16 && filters[0].id != kBlosc) {
      const Bytes header = Hex({0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 16, 0, 0, 0});
      std::memcpy(stored.data(), header.data(), header.size());
    }
    if (stored.size() > 16 && filters[0].id == kBlosc) {
      const Bytes header = Hex(
          {2, 1, round % 8, 2, 64, 0, 0, 0, 64, 0, 0, 0, static_cast<int>(stored.size()), 0, 0, 0});
      std::memcpy(stored.data(), header.data(), header.size());
    }
    Bytes chunk(64);
    (void)Undo(filters, stored, chunk).ok();
  }
}

}  // namespace
}  // namespace penstock::ingest::hdf5
