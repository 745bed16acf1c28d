// The compression of an ingest that leaves the choice to measurement.

#ifndef PENSTOCK_INGEST_PIPELINE_CHOOSE_COMPRESSION_H_
#define PENSTOCK_INGEST_PIPELINE_CHOOSE_COMPRESSION_H_

#include <filesystem>
#include <stop_token>

#include "ingest/compress/measure.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

// Decodes up to 32 MiB of frames spread over the scan; reads and writes a probe in `staging`.
// Frames that cannot be decoded are left out: the ingest itself will say what is wrong with them.
Result<CompressionDecision> ChooseCompression(const IngestPlan& plan,
                                              const std::filesystem::path& staging,
                                              const std::stop_token& stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_CHOOSE_COMPRESSION_H_
