// Zarr hierarchies and arrays in directories, HyperSpy's .zspy among them. docs/formats/zarr.md.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_ZARR_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_ZARR_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& ZarrFormat();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_ZARR_FORMAT_H_
