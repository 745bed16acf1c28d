// Datasets for tests, written through the library from a formula, so that every reader of them can
// be checked pixel by pixel. The Python twin of the formula is in tests/e2e/synthetic.py.

#ifndef PENSTOCK_TESTS_SUPPORT_SYNTHETIC_DATASET_H_
#define PENSTOCK_TESTS_SUPPORT_SYNTHETIC_DATASET_H_

#include <algorithm>
#include <complex>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"
#include "penstock/dataset/statistics.h"

namespace penstock::testing_support {

struct SyntheticOptions {
  DatasetShape shape{.scan = {.rows = 5, .columns = 6},
                     .signal = {.rows = 16, .columns = 12},
                     .element_type = ElementType::kUint16};
  uint64_t block_bytes = kDefaultBlockBytes;  // of frames; small values give several blocks
  std::set<int64_t> missing;                  // frames marked invalid, stored as holes
  bool calibrated = false;                    // all axes get coordinates
  bool complete = false;                      // every fact that NXem requires
  std::string name = "synthetic";
  std::vector<uint32_t> pixel_mask{};  // empty: none
  Compression compression = Compression::kNone;
};

// Whole numbers that differ in n, y and x: 0 to 112 for 8-bit types, else 0 to 4092.
inline int64_t SyntheticNumber(int64_t n, int64_t y, int64_t x, ElementType type) {
  const int64_t modulus = ElementSize(type) == 1 ? 113 : 4093;
  return (7 * n + 3 * y + 5 * x + ((n * y) ^ x)) % modulus;
}

// The pixel of frame n at (y, x): the number itself, minus 50 for signed integers; times 0.25 minus
// 3 for floating types; (number, -number) for complex ones.
template <typename T>
T SyntheticPixel(int64_t n, int64_t y, int64_t x, ElementType type) {
  const int64_t number = SyntheticNumber(n, y, x, type);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(std::is_signed_v<T> ? number - 50 : number);
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(static_cast<double>(number) * 0.25 - 3);
  } else {
    using Part = typename T::value_type;
    return T(static_cast<Part>(number), static_cast<Part>(-number));
  }
}

// Frame n in C order; zeros for a missing one.
inline std::vector<std::byte> SyntheticFrame(const SyntheticOptions& options, int64_t n) {
  const DatasetShape& shape = options.shape;
  std::vector<std::byte> bytes(shape.frame_bytes());
  if (options.missing.contains(n)) return bytes;
  VisitElementType(shape.element_type, [&](auto element) {
    using T = decltype(element);
    std::byte* next = bytes.data();
    for (int64_t y = 0; y < shape.signal.rows; ++y) {
      for (int64_t x = 0; x < shape.signal.columns; ++x, next += sizeof(T)) {
        const T pixel = SyntheticPixel<T>(n, y, x, shape.element_type);
        std::memcpy(next, &pixel, sizeof(T));
      }
    }
  });
  return bytes;
}

inline DatasetDescription SyntheticDescription(const SyntheticOptions& options,
                                               const BlockGrid& grid) {
  DatasetDescription description;
  description.name = options.name;
  description.shape = options.shape;
  description.grid = grid;
  description.source_format = "synthetic";
  description.scan_shape_evidence = "given by the test";
  description.source_frames = options.shape.frame_count();
  description.pixel_mask.values = options.pixel_mask;
  const std::string evidence = "invented for the test";
  const auto fact = [&](const char* path, Json value, const char* units = "") {
    description.facts.push_back(
        {.path = path, .value = std::move(value), .units = units, .evidence = evidence});
  };
  fact("measurement/event1/instrument/ebeam_column/electron_source/voltage", 300000.0, "V");
  fact("measurement/event1/instrument/detector1/count_time", 0.001, "s");
  fact("measurement/instrument/detector1/name", "test detector");
  fact("measurement/instrument/detector1/x_pixel_size", 5.5e-5, "m");
  if (options.complete) {
    fact("start_time", "2026-11-20T12:00:00+01:00");
    fact("sample/is_simulation", true);
    fact("sample/preparation_date", "2026-11-01T09:00:00+01:00");
    fact("sample/atom_types", "Sr, Ti, O");
    fact("measurement/instrument/fabrication/vendor", "Example Instruments");
    fact("measurement/instrument/fabrication/model", "STEM-300");
    fact("measurement/instrument/ebeam_column/electron_source/emitter_type", "cold_field_emitter");
    fact("measurement/event1/instrument/detector1/operation_mode", "counting");
  }
  if (options.calibrated) {
    const auto axis = [&](double offset, double step, const char* units, const char* name) {
      return AxisCalibration{
          .offset = offset, .step = step, .units = units, .long_name = name, .evidence = evidence};
    };
    if (!options.shape.scan.is_series) {
      description.axes["axis_m"] = axis(1, 0.5, "nm", "scan position, slow axis");
    }
    description.axes["axis_k"] = axis(-2, 0.25, "nm", "scan position, fast axis");
    description.axes["axis_j"] = axis(-0.64, 0.02, "1/angstrom", "detector rows");
    description.axes["axis_i"] = axis(-0.32, 0.01, "1/angstrom", "detector columns");
  }
  description.sources.push_back({.path = "/data/in/scan.raw",
                                 .name = "scan.raw",
                                 .role = "frames",
                                 .media_type = "application/octet-stream",
                                 .bytes = options.shape.payload_bytes(),
                                 .checksum = "00112233445566778899aabbccddeeff",
                                 .checksum_algorithm = "xxh3-128"});
  description.vendor_headers.push_back({.name = "scan.hdr", .text = "HDR,\nScanX:\t6\nEnd\t\n"});
  if (!options.missing.empty()) {
    description.anomalies.push_back({.kind = AnomalyKind::kMissingFrame,
                                     .file = "scan.raw",
                                     .byte_offset = 4096,
                                     .frame = *options.missing.begin(),
                                     .message = "expected a frame, found the end"});
  }
  description.history.push_back({.time = "2026-11-20T12:00:05+01:00",
                                 .tool = "penstock test",
                                 .operation = "ingest",
                                 .command = {"penstock", "ingest", "scan.raw"},
                                 .parameters = {{"missing", "zero"}}});
  return description;
}

// Writes the whole dataset into `directory`, which is created.
inline Status WriteSyntheticDataset(const std::filesystem::path& directory,
                                    const SyntheticOptions& options) {
  const DatasetShape& shape = options.shape;
  PENSTOCK_ASSIGN_OR_RETURN(BlockGrid grid, ChooseBlockGrid(shape, options.block_bytes));
  grid = GridFor(shape, grid, options.compression);
  DatasetContents contents;
  contents.compression = options.compression;
  contents.image_key.assign(static_cast<size_t>(shape.frame_count()), 0);
  for (const int64_t n : options.missing) contents.image_key[static_cast<size_t>(n)] = 3;
  for (int64_t block = 0; block < grid.block_count(); ++block) {
    const BlockRegion region = RegionOfBlock(shape, grid, block);
    PENSTOCK_ASSIGN_OR_RETURN(BlockWriter writer, BlockWriter::Create(directory, shape, grid, block,
                                                                      1, options.compression));
    BlockStatistics statistics(shape, region);
    for (int64_t index = 0; index < region.frame_count(); ++index) {
      const int64_t n = region.first_frame + index;
      if (options.missing.contains(n)) {
        PENSTOCK_RETURN_IF_ERROR(writer.AppendMissing(1));
        continue;
      }
      const std::vector<std::byte> frame = SyntheticFrame(options, n);
      const std::span<std::byte> buffer = writer.FrameBuffer(1);
      std::copy(frame.begin(), frame.end(), buffer.begin());
      statistics.AddFrame(index, buffer);
      PENSTOCK_RETURN_IF_ERROR(writer.Append(1));
    }
    PENSTOCK_ASSIGN_OR_RETURN(BlockRecord record, writer.Finish());
    contents.blocks.push_back(std::move(record));
    contents.statistics.push_back(std::move(statistics));
  }
  return WriteDescription(directory, SyntheticDescription(options, grid), contents);
}

}  // namespace penstock::testing_support

#endif  // PENSTOCK_TESTS_SUPPORT_SYNTHETIC_DATASET_H_
