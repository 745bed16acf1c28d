// TIA series (.ser), with the .emi beside it where there is one. docs/formats/ser.md.

#ifndef PENSTOCK_INGEST_FORMATS_SER_SER_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_SER_SER_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& SerFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_SER_SER_FORMAT_H_
