// TIA series made for tests, written from the description of the format, and damaged on demand.

#ifndef PENSTOCK_TESTS_INGEST_SER_TEST_FILES_H_
#define PENSTOCK_TESTS_INGEST_SER_TEST_FILES_H_

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {

struct TestDimension {
  uint32_t size = 1;
  double offset = 0;
  double delta = 1e-9;
  uint32_t element = 0;
  std::string description = "Position";
  std::string units = "meters";
};

// Elements hold bytes (i * 7 + position) mod 251, in file order.
struct TestSeries {
  uint16_t version = 0x0220;
  uint32_t element_kind = 0x4122;
  uint32_t tag_kind = 0x4142;
  std::vector<TestDimension> dimensions = {{3, 0, 1e-9}, {2, 5e-9, -2e-9}};
  std::optional<uint32_t> total;  // the product of the dimensions
  std::optional<uint32_t> valid;  // total
  uint16_t type = 2;
  uint32_t width = 5;
  uint32_t height = 4;
  uint64_t gap_bytes = 0;        // between a tag and the next element
  bool tags_behind_all = false;  // all tags at the end of the file
  double tag_fast_step = 1e-9;
  double tag_slow_step = 2e-9;

  size_t PixelBytes() const;
  size_t FrameBytes() const { return width * height * PixelBytes(); }
  uint32_t Total() const;
  uint32_t Valid() const { return valid.value_or(Total()); }

  Bytes Build() const;
  // The decoded frames that the file must give: rows reversed.
  Bytes Expected() const;

  // Places in the built file.
  size_t TableFieldOffset() const { return 22; }
  size_t DimensionCountOffset() const { return version == 0x0210 ? 26 : 30; }
  size_t TableOffset() const;
  size_t EntryOffset(size_t element) const;  // of the data offset table
  size_t TagEntryOffset(size_t element) const;
  size_t ElementOffset(size_t element) const;
  size_t TagOffset(size_t element) const;
};

template <typename T>
void Poke(Bytes& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

Result<std::unique_ptr<FrameSource>> OpenSer(const std::filesystem::path& path);

// The value of a fact, null where there is none.
Json FactValue(const SourceDescription& description, const std::string& path);

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_SER_TEST_FILES_H_
