// MRC image stacks and volumes (.mrc, .mrcs, .st, ...). docs/formats/mrc.md.

#ifndef PENSTOCK_INGEST_FORMATS_MRC_MRC_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_MRC_MRC_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& MrcFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MRC_MRC_FORMAT_H_
