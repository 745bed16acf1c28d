// What the other nodes hold of a dataset, for `penstock locate`.
//
// Asked as a peer_protocol.h request for the extent kResidencyOfDataset; the answer's bytes are
// JSON {"blocks": [[extents present, 1 where the block is complete else 0], ...]}. A node of an
// older penstock refuses that there is such an extent.

#ifndef PENSTOCK_CACHEFS_PEERS_PEER_RESIDENCY_H_
#define PENSTOCK_CACHEFS_PEERS_PEER_RESIDENCY_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/control/locate.h"
#include "cachefs/peers/tls_channel.h"

namespace penstock::cachefs {

inline constexpr int64_t kResidencyOfDataset = -1;

std::string EncodeResidency(const BlockCache& cache, const DatasetView& view);
// kCorrupt where the text is no such answer, or one of another number of blocks.
Result<std::vector<ResidencyDetail>> DecodeResidency(std::string_view text,
                                                     const DatasetView& view);

// Asks all members but `self`, a few at a time; a node that cannot be reached, is silent for
// `silence` or has not answered after `total` has its failure set. In the order of the members.
std::vector<NodeResidency> AskResidency(const std::shared_ptr<TlsContext>& context,
                                        const std::vector<std::string>& members,
                                        const std::string& self, const DatasetView& view,
                                        std::chrono::milliseconds silence,
                                        std::chrono::milliseconds total);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_PEER_RESIDENCY_H_
