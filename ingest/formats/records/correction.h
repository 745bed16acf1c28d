// Dark and gain references, applied on request: value = (raw - dark) * gain.
//
// The arithmetic is that of LiberTEM, bit by bit: in float64, rounded to float32 at the end.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_CORRECTION_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_CORRECTION_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest::records {

struct Correction {
  std::vector<float> dark;   // of every pixel; empty: nothing is subtracted
  std::vector<double> gain;  // empty: nothing is multiplied

  bool empty() const { return dark.empty() && gain.empty(); }
};

// `raw` holds pixels of `type`, which must be uint8, uint16 or uint32, from `first_pixel` of a
// frame on; `corrected` has a place for a float32 of each. Any alignment.
void Correct(const Correction& correction, size_t first_pixel, ElementType type,
             std::span<const std::byte> raw, std::span<std::byte> corrected);

// A gain reference of `shape`, from NumPy's .npy or from a table of numbers (.csv, separated by
// semicolons) that is read transposed, as PNDetector writes them. Values must be finite and not
// negative.
Result<std::vector<double>> ReadGain(const std::filesystem::path& path, const SignalShape& shape);

// kInvalidArgument unless every value is finite and not negative.
Status CheckGain(std::span<const double> gain, const SignalShape& shape,
                 const std::filesystem::path& path);

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_CORRECTION_H_
