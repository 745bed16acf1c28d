// BlockSources: what all workers of a Reader share to get at its blocks.

#ifndef PENSTOCK_READER_IO_BLOCK_SOURCES_H_
#define PENSTOCK_READER_IO_BLOCK_SOURCES_H_

namespace penstock {

class ExtentVerifier;
class LeaseClient;
class MappedBlocks;

// Each may be null; nothing is owned.
struct BlockSources {
  LeaseClient* leases = nullptr;
  ExtentVerifier* verifier = nullptr;
  MappedBlocks* mapped = nullptr;  // null: every worker maps its blocks, as long as it uses them
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_BLOCK_SOURCES_H_
