// The fill value of an array as bytes.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_FILL_VALUE_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_FILL_VALUE_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::zarr {

// One element, little-endian; zero for null. Numbers, booleans, "NaN", "Infinity", "-Infinity",
// "0x7fc00000" (the bits of a floating point number), pairs of these for complex numbers. Nothing
// where the type cannot hold it.
std::optional<std::vector<std::byte>> FillBytes(const Json& value, ElementType type);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_FILL_VALUE_H_
