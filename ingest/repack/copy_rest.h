// Everything of a dataset but its blocks and what describes them, copied as it is.

#ifndef PENSTOCK_INGEST_REPACK_COPY_REST_H_
#define PENSTOCK_INGEST_REPACK_COPY_REST_H_

#include <filesystem>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"

namespace penstock::ingest {

// Statistics, pictures, axes, and whatever else lies there, into an existing directory. A file that
// checksums.xxh128 lists is held against it: kCorrupt where it differs or is missing. One that is
// not listed is copied, and noted. kUnsupported for what is no regular file.
Status CopyRest(const std::filesystem::path& dataset, const std::filesystem::path& staging,
                ProgressSink& progress);

// Owner and modes of the files and directories in `staging` as in `dataset`, as far as this user
// may; blocks keep their mode.
void CopyOwnership(const std::filesystem::path& dataset, const std::filesystem::path& staging,
                   ProgressSink& progress);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_REPACK_COPY_REST_H_
