// NumPy's .npy files: two to four axes in C order.

#ifndef PENSTOCK_INGEST_FORMATS_NPY_NPY_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_NPY_NPY_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& NpyFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_NPY_NPY_FORMAT_H_
