// K2 IS acquisitions made for tests, by the recipe of docs/formats/k2is.md.

#ifndef PENSTOCK_TESTS_INGEST_K2IS_TEST_FILES_H_
#define PENSTOCK_TESTS_INGEST_K2IS_TEST_FILES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/ingest/gatan_test_tags.h"
#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {

uint16_t K2isPixel(int64_t id, int64_t y, int64_t x);

// The frames as they must come out: rows of 2048 pixels.
Bytes K2isFrame(int64_t id);

// A set of sector files as lists of blocks, to be damaged before they are written.
struct TestK2is {
  static constexpr size_t kBlock = 22360;

  // Frames by their numbers, with 32 blocks each from block count 1000 on; those from
  // `first_flagged` on have the shutter flag. Without pixels, all are zero.
  explicit TestK2is(const std::vector<int64_t>& ids, int64_t first_flagged = 0,
                    bool with_pixels = true);

  // The set of five frames 77 to 81 whose sectors begin and end at different blocks.
  static TestK2is Series();

  // Writes scan_1.bin to scan_8.bin (but for those that are empty) and scan_.gtg; returns the
  // latter's path. `si` is the scan of the .gtg (rows, columns).
  std::filesystem::path Write(const TestDirectory& directory,
                              std::optional<std::pair<uint32_t, uint32_t>> si = {},
                              std::optional<std::pair<uint32_t, uint32_t>> sampling = {}) const;

  Bytes& Block(int sector, size_t block) { return sectors[static_cast<size_t>(sector)][block]; }

  std::array<std::vector<Bytes>, 8> sectors;
};

// The tags of a .gtg.
TestTagFile K2isTags(std::optional<std::pair<uint32_t, uint32_t>> si,
                     std::optional<std::pair<uint32_t, uint32_t>> sampling = {});

void PokeBig32(Bytes& bytes, size_t offset, uint32_t value);
void PokeBig16(Bytes& bytes, size_t offset, uint16_t value);

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_K2IS_TEST_FILES_H_
