// PassTarget: what several passes are made over, be it a dataset or the frames of a provider.

#ifndef PENSTOCK_READER_PASS_TARGET_H_
#define PENSTOCK_READER_PASS_TARGET_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/frame_provider.h"
#include "penstock/reader/reader.h"

namespace penstock {

// Refers to what it was made of.
struct PassTarget {
  explicit PassTarget(const Reader& reader)
      : name(reader.dataset().directory().string()),
        shape(reader.shape()),
        image_key(reader.image_key()),
        run([&reader](std::span<Reduction* const> reductions, const PassOptions& options) {
          return reader.Run(reductions, options);
        }) {}
  explicit PassTarget(const FrameProvider& provider)
      : name(provider.name()),
        shape(provider.shape()),
        image_key(provider.image_key()),
        run([&provider](std::span<Reduction* const> reductions, const PassOptions& options) {
          return RunPass(provider, reductions, options);
        }) {}

  const std::string name;  // for errors
  const DatasetShape& shape;
  const std::vector<int32_t>& image_key;
  const std::function<Result<PassSummary>(std::span<Reduction* const>, const PassOptions&)> run;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_PASS_TARGET_H_
