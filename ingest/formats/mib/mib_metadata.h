// What a Merlin acquisition says about itself, as NeXus fields with units and evidence.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_METADATA_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_METADATA_H_

#include <vector>

#include "ingest/formats/mib/mib_frame_header.h"
#include "ingest/formats/mib/mib_series.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest {

// `last` is the header of the last complete frame. Beam voltage, pixel size, camera length and scan
// step are not in the format and stay absent.
std::vector<MetadataFact> MibFacts(const MibSeries& series, const MibFrameHeader& last);

// The first frame header and the .hdr file as they are.
std::vector<VendorHeader> MibVendorHeaders(const MibSeries& series);

// Whether the .hdr file is complete and belongs to these frames.
std::vector<Anomaly> CheckMibSidecar(const MibSeries& series);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_METADATA_H_
