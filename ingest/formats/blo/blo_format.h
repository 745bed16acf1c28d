// NanoMEGAS / ASTAR block files (.blo). docs/formats/blo.md.

#ifndef PENSTOCK_INGEST_FORMATS_BLO_BLO_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_BLO_BLO_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& BloFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_BLO_BLO_FORMAT_H_
