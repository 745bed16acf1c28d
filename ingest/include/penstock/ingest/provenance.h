// Whether a plan has been carried out already, by what the dataset at its destination says of its
// sources: nothing else remembers what was ingested.

#ifndef PENSTOCK_INGEST_PROVENANCE_H_
#define PENSTOCK_INGEST_PROVENANCE_H_

#include <cstdint>
#include <stop_token>
#include <string>

#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

enum class DestinationKind : uint8_t {
  kFree,         // nothing is there
  kSame,         // a dataset made from these very files in this very way
  kOther,        // a dataset of other files, of other bytes, or mapped otherwise
  kGrowing,      // a dataset that an ingest with --follow has not finished
  kNoDataset,    // a file or a directory that is no dataset
  kInsideOther,  // it would lie inside another dataset
};

struct DestinationState {
  DestinationKind kind = DestinationKind::kFree;
  std::string difference;  // for people, where it is not kFree or kSame
};

// Files are compared by name, size and time of modification; where only the time differs, by their
// digests, for which they are read.
Result<DestinationState> LookAtDestination(const IngestPlan& plan, const std::stop_token& stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PROVENANCE_H_
