// `penstock show --frames`: a line for each scan position.

#ifndef PENSTOCK_TOOLS_PENSTOCK_SHOW_FRAMES_H_
#define PENSTOCK_TOOLS_PENSTOCK_SHOW_FRAMES_H_

#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"

namespace penstock::tools {

// Tab-separated lines under a head line, or a JSON object per line.
Status PrintFrames(const Dataset& dataset, bool json);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PENSTOCK_SHOW_FRAMES_H_
