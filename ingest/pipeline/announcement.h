// The journal's last line before publication: the digest of the nexus.json that is about to appear.

#ifndef PENSTOCK_INGEST_PIPELINE_ANNOUNCEMENT_H_
#define PENSTOCK_INGEST_PIPELINE_ANNOUNCEMENT_H_

#include "ingest/pipeline/journal.h"
#include "ingest/pipeline/publication.h"
#include "penstock/base/result.h"

namespace penstock::ingest {

// Writes the line for the nexus.json of the staging directory.
Status AnnouncePublication(Journal& journal, const StagingPaths& paths);

// Whether what the journal announced is what has the destination's name: an earlier run was killed
// between publication and cleaning up. What has the staging name then is what was replaced.
bool WasPublished(const Journal& journal, const StagingPaths& paths);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_ANNOUNCEMENT_H_
