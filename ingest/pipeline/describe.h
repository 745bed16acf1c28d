// From a plan to what identifies it (for resuming) and to what the sidecar says.

#ifndef PENSTOCK_INGEST_PIPELINE_DESCRIBE_H_
#define PENSTOCK_INGEST_PIPELINE_DESCRIBE_H_

#include <optional>
#include <string>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "ingest/pipeline/disk_probe.h"
#include "ingest/pipeline/source_digest.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

// Which source frame belongs to which scan position, as the history has it.
Json MappingToJson(const ScanMapping& mapping);

// Of this program. The time is now, or SOURCE_DATE_EPOCH where the environment has it.
HistoryEntry NewHistoryEntry(std::string operation, std::vector<std::string> command_line);

// Everything that decides over the bytes of the blocks: two plans with equal identities may
// continue each other.
Json PlanIdentity(const IngestPlan& plan);

// `digests`: one per source file, in their order.
DatasetDescription Describe(const IngestPlan& plan, const std::vector<SourceDigest>& digests,
                            const AnomalyList& anomalies, const std::optional<DiskProbe>& probe);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_DESCRIBE_H_
