// HDF5 files: any dataset of numbers by its path, and the dresses that say which one holds frames.
// docs/formats/hdf5.md.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_HDF5_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_HDF5_FORMAT_H_

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& HspyFormat();
const SourceFormat& VeloxFormat();
const SourceFormat& Py4dstemFormat();
const SourceFormat& EmdFormat();
const SourceFormat& DectrisFormat();
const SourceFormat& NexusFormat();
const SourceFormat& Hdf5Format();

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_HDF5_FORMAT_H_
