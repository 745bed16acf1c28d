// What a K2 IS acquisition says about itself beyond its pixels.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_K2IS_DESCRIBE_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_K2IS_DESCRIBE_H_

#include <cstdint>
#include <optional>

#include "ingest/formats/k2is/acquisition.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::k2is {

// The files of the description are the sectors in use, in the order of acquisition.sectors, then
// the .gtg. A .gtg that is damaged is an error: it has the scan shape and the rule for the first
// frame.
Result<SourceDescription> DescribeAcquisition(const AcquisitionFiles& files,
                                              const Acquisition& acquisition,
                                              std::optional<int64_t> flagged_frame);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_K2IS_DESCRIBE_H_
