// The operations that one run of apply, com, stat or radial was asked for: each knows its
// reduction, its files and how it looks while it grows.

#ifndef PENSTOCK_TOOLS_APPLIED_OPERATIONS_H_
#define PENSTOCK_TOOLS_APPLIED_OPERATIONS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"
#include "tools/penstock/result_outputs.h"

namespace penstock::tools {

// As on the command line.
struct OperationOptions {
  std::vector<std::string> masks;
  bool centre_of_mass = false;
  std::string selection = "full";  // of the centre of mass
  std::string correction;          // "auto", "DEGREES" or "DEGREES,flip"; "": as on the detector
  bool integrate = false;
  bool sum = false;
  bool statistics = false;
  bool extremes = false;
  std::string histogram;         // "BINS,LOW,HIGH", "": none
  std::string histogram_region;  // written like a mask, "": all pixels
  std::string radial;            // "ROW,COLUMN" or "ROW,COLUMN,INNER,OUTER", "": none
  int64_t rings = 256;
  int64_t sectors = 1;
  std::string radial_mask;  // the pixels that count, written like a mask, "": all
};

class AppliedOperation {
 public:
  virtual ~AppliedOperation() = default;

  virtual Reduction& reduction() = 0;
  // True where its result is one array.
  virtual bool is_single() const { return false; }
  virtual Status Write(ResultOutputs& outputs) = 0;
  // What there is to say about the result beyond its files, for the summary. After Write.
  virtual std::vector<std::pair<std::string, std::string>> Facts() const { return {}; }
  // An image that is worth looking at while the pass runs. `over_scan`: one value per frame, in
  // scan order, so that frames which are not done can be left blank.
  struct LiveImage {
    ImageShape shape;
    std::vector<double> values;
    bool over_scan = false;
  };
  virtual std::optional<LiveImage> Live() const { return std::nullopt; }
};

// kInvalidArgument where nothing was asked for, or wrongly. `stored_type`: of the frames, where
// they are seen as they are stored.
Result<std::vector<std::unique_ptr<AppliedOperation>>> MakeOperations(
    const OperationOptions& options, SignalShape signal, std::optional<ElementType> stored_type);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_APPLIED_OPERATIONS_H_
