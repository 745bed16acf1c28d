// Which compression suits some frames and the store they are to lie in: by what they compress to,
// how fast that is undone, and how fast the store is read.

#ifndef PENSTOCK_INGEST_COMPRESS_MEASURE_H_
#define PENSTOCK_INGEST_COMPRESS_MEASURE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"

namespace penstock::ingest {

struct CompressionMeasurement {
  Compression compression = Compression::kNone;
  double ratio = 1;        // pixels to stored bytes
  double decode_rate = 0;  // bytes of pixels per second of one processor
};

// Compresses and decodes `pixels` chunk by chunk with LZ4 and with Zstandard. Time is that of the
// processor, whatever else runs.
Result<std::vector<CompressionMeasurement>> MeasureCompression(size_t element_bytes,
                                                               size_t chunk_bytes,
                                                               std::span<const std::byte> pixels);

// Bytes per second, past the page cache where the file system can: writes a file into `directory`,
// reads it and removes it.
Result<double> MeasureStoreRate(const std::filesystem::path& directory);

struct CompressionDecision {
  Compression compression = Compression::kNone;
  std::string reason;  // with the numbers, for people
};

// What is read fastest: the store's rate times the ratio, but no more than `processors` decode. Of
// those within a tenth of the fastest, the smallest. Frames that are hardly smaller stay as they
// are.
CompressionDecision DecideCompression(const std::vector<CompressionMeasurement>& measured,
                                      double store_rate, int processors);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_COMPRESS_MEASURE_H_
