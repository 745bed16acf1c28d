// Merlin MIB (Quantum Detectors, Medipix3): processed data of 8, 16 and 32 bit, raw data of 1, 6,
// 12 and 24 bit of one chip and of four chips in 2x2, with the .hdr file and series of files.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& MibFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_FORMAT_H_
