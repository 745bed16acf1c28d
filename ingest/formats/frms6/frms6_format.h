// PNDetector FRMS6 (pnCCD). docs/formats/frms6.md.

#ifndef PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& Frms6Format();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_FRMS6_FRMS6_FORMAT_H_
