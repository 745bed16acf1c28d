// What a Reader holds; shared by the files that implement it.

#ifndef PENSTOCK_READER_READER_STATE_H_
#define PENSTOCK_READER_READER_STATE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/dataset/dataset.h"
#include "penstock/reader/reader.h"
#include "reader/io/block_sources.h"
#include "reader/io/extent_verifier.h"
#include "reader/io/lease_client.h"
#include "reader/io/mapped_blocks.h"

namespace penstock {

struct Reader::State {
  Dataset dataset;
  std::vector<int32_t> image_key;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;  // null: all
  ReadOptions options;
  std::unique_ptr<LeaseClient> leases;       // null away from a mount
  std::unique_ptr<ExtentVerifier> verifier;  // null where nothing is verified
  std::unique_ptr<MappedBlocks> mapped;      // null where ReadOptions say so

  BlockSources sources() const { return {leases.get(), verifier.get(), mapped.get()}; }
};

}  // namespace penstock

#endif  // PENSTOCK_READER_READER_STATE_H_
