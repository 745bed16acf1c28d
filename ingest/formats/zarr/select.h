// Which array of a Zarr hierarchy holds the frames, and what is said about it.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_SELECT_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_SELECT_H_

#include <string>

#include "ingest/formats/zarr/node.h"

namespace penstock::ingest::zarr {

struct ZarrSelection : chunked::FrameSelection {
  Node array;
};

// `dataset_path`: the user's choice, an array or the group around it; empty for the rule of
// HyperSpy or NeXus, or the only array with three axes or more.
Result<ZarrSelection> Select(const Node& root, const std::string& dataset_path);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_SELECT_H_
