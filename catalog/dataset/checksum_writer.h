// checksums.xxh128 of a dataset that is whole but for it.

#ifndef PENSTOCK_DATASET_CHECKSUM_WRITER_H_
#define PENSTOCK_DATASET_CHECKSUM_WRITER_H_

#include <filesystem>

#include "penstock/base/result.h"
#include "penstock/dataset/checksum_list.h"

namespace penstock {

// Lists every file that is there; `known` are those whose digests are known, and which are synced.
// The others are hashed and synced, and so are all directories.
Status WriteChecksumList(const std::filesystem::path& directory, ChecksumList known);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_CHECKSUM_WRITER_H_
