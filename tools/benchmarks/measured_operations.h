// The operations that the reader's benchmarks measure.

#ifndef PENSTOCK_TOOLS_BENCHMARKS_MEASURED_OPERATIONS_H_
#define PENSTOCK_TOOLS_BENCHMARKS_MEASURED_OPERATIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/reduction.h"

namespace penstock {

struct MeasuredOperation {
  std::string name;
  std::vector<std::unique_ptr<Reduction>> reductions;  // of one pass
};

// sum; masks_K: K rings, which cut the frame into K regions; integer_masks_K and float_masks_K:
// other weights in every pixel of each, so that no two pixels could be added before they are
// weighted; std, extremes, com, histogram, radial_256; together: sum, std, 4 rings and com.
// Of `only` (empty: all), in this order.
Result<std::vector<MeasuredOperation>> MakeMeasuredOperations(SignalShape signal,
                                                              const std::vector<std::string>& only);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_BENCHMARKS_MEASURED_OPERATIONS_H_
