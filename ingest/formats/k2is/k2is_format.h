// Gatan K2 IS raw acquisitions (.gtg and eight .bin). docs/formats/k2is.md.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_K2IS_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_K2IS_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& K2isFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_K2IS_FORMAT_H_
