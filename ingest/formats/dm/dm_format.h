// Gatan DigitalMicrograph files, DM3 and DM4. docs/formats/dm.md.

#ifndef PENSTOCK_INGEST_FORMATS_DM_DM_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_DM_DM_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& DmFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_DM_DM_FORMAT_H_
