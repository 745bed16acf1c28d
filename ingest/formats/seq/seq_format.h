// Norpix StreamPix sequences (.seq), as DE cameras write them. docs/formats/seq.md.

#ifndef PENSTOCK_INGEST_FORMATS_SEQ_SEQ_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_SEQ_SEQ_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& SeqFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_SEQ_SEQ_FORMAT_H_
