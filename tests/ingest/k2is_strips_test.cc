// Frames of K2 IS acquisitions without ever being put together: in strips, in the order of the
// files, packed.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ingest/formats/k2is/k2is_format.h"
#include "tests/ingest/k2is_test_files.h"

namespace penstock::ingest {
namespace {

TEST(K2isStrips, PixelsInStoredOrderAreThoseOfTheFrame) {
  const TestDirectory directory;
  const auto source = K2isFormat().Open(TestK2is({5, 6}, 0, true).Write(directory), {});
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto strips = (*source)->MakeStripDecoder();
  const auto stored_order = strips->stored_order();
  ASSERT_NE(stored_order, nullptr);
  const std::vector<uint32_t>& order = *stored_order;
  ASSERT_EQ(order.size(), size_t{1860} * 2048);
  // The second row of the first block, which is the last one of the sector's upper half.
  EXPECT_EQ(order[17], 2048U + 240 + 1);
  DecodeContext context;
  TestReport report;
  context.report = &report;
  const std::vector<int64_t> frames = {0, -1, 1};
  ASSERT_TRUE(strips->Begin(frames, context).ok());
  std::vector<Bytes> found(3, Bytes(order.size() * 2));
  const auto all = static_cast<int64_t>(order.size());
  constexpr int64_t kPlaces = 16384;  // runs end within blocks, and begin there
  for (int64_t first = 0; first < all; first += kPlaces) {
    const int64_t last = std::min(first + kPlaces, all);
    const auto bytes = static_cast<size_t>(last - first) * 2;
    Bytes places(3 * bytes);
    ASSERT_TRUE(strips->StoredPixels(first, last, places).ok());
    for (size_t f = 0; f < 3; ++f) {
      for (int64_t p = first; p < last; ++p) {
        std::copy_n(places.begin() + static_cast<ptrdiff_t>(f * bytes) + (p - first) * 2, 2,
                    found[f].begin() + static_cast<ptrdiff_t>(order[static_cast<size_t>(p)]) * 2);
      }
    }
  }
  EXPECT_EQ(found[0], K2isFrame(5));
  EXPECT_EQ(found[2], K2isFrame(6));
}

TEST(K2isStrips, PackedRunsAreThoseOfTheStoredOrder) {
  const TestDirectory directory;
  const auto source = K2isFormat().Open(TestK2is({5, 6}, 0, true).Write(directory), {});
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto strips = (*source)->MakeStripDecoder();
  const std::vector<uint32_t>& order = *strips->stored_order();
  const int64_t run_pixels = strips->packed_run();
  ASSERT_EQ(run_pixels, 16 * 930);
  DecodeContext context;
  TestReport report;
  context.report = &report;
  const std::vector<int64_t> frames = {0, 1, -1};
  ASSERT_TRUE(strips->Begin(frames, context).ok());
  Bytes found(order.size() * 2);
  for (size_t first = 0; first < order.size(); first += static_cast<size_t>(run_pixels)) {
    std::vector<const std::byte*> packed(2);
    strips->LocatePacked(static_cast<int64_t>(first) / run_pixels, 1, packed);
    for (size_t p = 0; p < static_cast<size_t>(run_pixels); ++p) {
      const auto at = [&](size_t f, size_t byte) {
        return std::to_integer<uint32_t>(packed[f][p / 2 * 3 + byte]);
      };
      const uint32_t pixel =
          p % 2 == 0 ? at(0, 0) | (at(0, 1) & 15) << 8 : at(0, 1) >> 4 | at(0, 2) << 4;
      found[size_t{2} * order[first + p]] = static_cast<std::byte>(pixel & 255);
      found[size_t{2} * order[first + p] + 1] = static_cast<std::byte>(pixel >> 8);
      ASSERT_EQ(at(1, 0) + at(1, 1) + at(1, 2), 0U);
    }
  }
  EXPECT_EQ(found, K2isFrame(6));
  EXPECT_TRUE(strips->CheckPacked().ok());
}

// Blocks are unpacked where they lie in the page cache, from where somebody takes them away.
TEST(K2isStrips, ASectorThatIsCutShortBetweenStripsIsAnError) {
  const TestDirectory directory;
  const auto source = K2isFormat().Open(TestK2is({5, 6}, 0, true).Write(directory), {});
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto strips = (*source)->MakeStripDecoder();
  DecodeContext context;
  TestReport report;
  context.report = &report;
  const std::vector<int64_t> frames = {0, 1};
  ASSERT_TRUE(strips->Begin(frames, context).ok());
  constexpr size_t kRowBytes = size_t{2048} * 2;
  Bytes rows(2 * 10 * kRowBytes);
  ASSERT_TRUE(strips->Rows(0, 10, rows).ok());
  const Bytes second = K2isFrame(6);
  EXPECT_TRUE(std::equal(rows.begin() + 10 * kRowBytes, rows.end(), second.begin()));

  const std::filesystem::path sector = directory / "scan_4.bin";
  const uint64_t whole = std::filesystem::file_size(sector);
  std::filesystem::resize_file(sector, 100'000);  // the first blocks of the first frame stay
  const Status cut = strips->Rows(10, 20, rows);
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(cut.error().file(), sector.string());
  EXPECT_TRUE(cut.error().place().starts_with("offset 1")) << cut.error().place();  // a lost page
  EXPECT_EQ(cut.error().expected(), std::to_string(whole) + " bytes");
  EXPECT_EQ(cut.error().found(), "100000 bytes");
  const Status packed = strips->CheckPacked();
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().file(), sector.string());
  // Read anew, it is no better.
  EXPECT_FALSE(strips->Begin(frames, context).ok());
}

}  // namespace
}  // namespace penstock::ingest
