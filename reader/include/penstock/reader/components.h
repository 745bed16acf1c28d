// Principal components of a scan: its frames as a matrix (frames x pixels), by a randomised
// singular value decomposition (Halko, Martinsson, Tropp 2011) in two passes over the bytes.

#ifndef PENSTOCK_READER_COMPONENTS_H_
#define PENSTOCK_READER_COMPONENTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/frame_provider.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"

namespace penstock {

// Sums of all frames with several weights for each frame: sum_f weights[f][j] * frame f, in
// float64. What a mask is to the pixels this is to the scan. A pass needs 8 bytes per sum and pixel
// for each worker.
class WeightedSumReduction final : public Reduction {
 public:
  // `weights`: [frame in scan order][count]. kInvalidArgument where their number is no multiple of
  // count; Begin: where it does not fit the scan.
  static Result<std::unique_ptr<WeightedSumReduction>> Create(std::vector<double> weights,
                                                              int64_t count);
  ~WeightedSumReduction() override;

  const ResultArray& result() const;  // (count, signal rows, signal columns)

  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  struct Impl;
  explicit WeightedSumReduction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct ComponentOptions {
  int64_t count = 10;
  int64_t oversampling = 10;     // further random directions, of which only the best are kept
  int64_t power_iterations = 0;  // each is two more passes, for spectra that fall slowly
  bool centre = true;            // about the mean frame, as principal components are
  uint64_t seed = 0;             // the same seed gives the same result
};

// All float64. Frames that are not valid, or not selected, have NaN as their loadings.
struct Components {
  ResultArray components;          // (count, signal rows, signal columns), orthonormal
  ResultArray loadings;            // (scan rows, scan columns, count), for a series (frames, count)
  ResultArray mean;                // (signal rows, signal columns)
  ResultArray singular_values;     // (count), falling
  ResultArray explained_variance;  // squares of them / (frames - 1)
  ResultArray explained_ratio;     // squares of them / the sum of squares of the whole matrix
  int64_t frames = 0;
  PassSummary summary;  // of all passes together
};

// loadings * components + mean is the best approximation of its rank that the random directions
// hold. Where the rest of the spectrum is noise well below the last component, the singular values
// are within 1e-5 of the largest one, and with one power iteration within 1e-9; a spectrum that
// falls slowly takes more oversampling or iterations. Of every component the value of largest
// magnitude is positive. kInvalidArgument where the scan has fewer frames or pixels than
// components; kUnsupported for pixels that are not finite; errors of Reader::Run; kCancelled where
// the deadline comes before the end, since half a pass has no components.
Result<Components> FindComponents(const Reader& reader, const ComponentOptions& options,
                                  const PassOptions& pass);
Result<Components> FindComponents(const FrameProvider& provider, const ComponentOptions& options,
                                  const PassOptions& pass);

}  // namespace penstock

#endif  // PENSTOCK_READER_COMPONENTS_H_
