// What describes a dataset whose blocks were written anew in another form, frames and metadata
// being the same.

#ifndef PENSTOCK_DATASET_REPACKED_DESCRIPTION_H_
#define PENSTOCK_DATASET_REPACKED_DESCRIPTION_H_

#include <filesystem>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/dataset/description.h"

namespace penstock {

struct RepackedBlocks {
  Compression compression = Compression::kNone;
  std::vector<BlockRecord> blocks;  // in block order, all of them
  HistoryEntry history;             // is added
};

// True for the files of a dataset (paths relative to it) that are not copied when it is repacked:
// its blocks, and what WriteRepackedDescription writes.
bool IsRepackedFile(std::string_view path);

// `staging` has the new blocks and copies of all other files of `source`. Writes the rest, down to
// checksums.xxh128. Precondition: a sealed dataset.
Status WriteRepackedDescription(const Dataset& source, const std::filesystem::path& staging,
                                const RepackedBlocks& repacked);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_REPACKED_DESCRIPTION_H_
