// EMPAD, first generation (128 x 128): .raw with the .xml beside it. docs/formats/empad.md.

#ifndef PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& EmpadFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_FORMAT_H_
