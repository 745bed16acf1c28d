// TVIPS streams (.tvips) of TemCam cameras. docs/formats/tvips.md.

#ifndef PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& TvipsFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_TVIPS_TVIPS_FORMAT_H_
