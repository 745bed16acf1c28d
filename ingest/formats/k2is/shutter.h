// Where the scan or the series begins: the frame with which the shutter flag rises.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_SHUTTER_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_SHUTTER_H_

#include <cstdint>
#include <optional>

#include "ingest/formats/k2is/acquisition.h"
#include "penstock/base/result.h"

namespace penstock::ingest::k2is {

// The first frame whose shutter flag is set; nothing where none is. Looks at up to 1024 frames
// spread over the acquisition and bisects in front of the first that is flagged; only if none of
// them is, at every frame.
Result<std::optional<int64_t>> FirstFlaggedFrame(const Acquisition& acquisition);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_SHUTTER_H_
