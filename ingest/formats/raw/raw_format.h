// Plain raw: numbers without any header; the user says what they are.

#ifndef PENSTOCK_INGEST_FORMATS_RAW_RAW_FORMAT_H_
#define PENSTOCK_INGEST_FORMATS_RAW_RAW_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

const SourceFormat& RawFormat();

// Square frames and element types of which a whole number fills `bytes`, as a help for users who
// have not said what the file holds: "256,256 uint16: 1024 frames". Likely ones first, at most
// `limit`.
std::vector<std::string> PlausibleRawShapes(uint64_t bytes, size_t limit);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_RAW_RAW_FORMAT_H_
