// CacheCommands: the commands of the control socket that change what the cache holds: warm, evict,
// pin, unpin, quota, scrub. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CONTROL_CACHE_COMMANDS_H_
#define PENSTOCK_CACHEFS_CONTROL_CACHE_COMMANDS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/control/locate.h"
#include "cachefs/control/peer.h"
#include "cachefs/policy/cache_policy.h"
#include "cachefs/scrub/scrubber.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

class CacheCommands {
 public:
  // Everything must outlive the commands.
  struct Services {
    std::shared_ptr<Upstream> upstream;
    DatasetRegistry* registry = nullptr;
    BlockCache* cache = nullptr;
    CachePolicy* policy = nullptr;
    Scrubber* scrubber = nullptr;
    std::chrono::milliseconds settle_time{0};
    std::string node_name = {};  // of this node among its peers; "": its host name
    // What other nodes hold of a dataset; null where there are none.
    std::function<std::vector<NodeResidency>(const DatasetView&)> elsewhere = nullptr;
  };
  // Writes one line of JSON; false where the client has gone.
  using Writer = std::function<bool(const Json&)>;

  explicit CacheCommands(Services services) : services_(std::move(services)) {}

  // False where the request is another's.
  bool Knows(const std::string& command) const;
  // Writes the progress and the last line, or returns the error.
  Status Handle(const Json& request, const Writer& write);
  // Where the blocks of the datasets at `path` are that the peer may see; one line per dataset.
  Status Locate(const std::string& path, const Peer& peer, const Writer& write);
  // Returns once the lock that everything needs was free.
  void Ping() const { services_.cache->block_count(); }
  // Ends what is under way.
  void Stop() { stopping_ = true; }

 private:
  Status Warm(const Json& request, const Writer& write);
  Status Evict(const Json& request, const Writer& write);
  Status AddPin(const Json& request, const Writer& write);
  Status RemovePin(const Json& request, const Writer& write);
  Status ListPins(const Writer& write) const;
  Status Quota(const Json& request, const Writer& write);
  Status Scrub(const Json& request, const Writer& write);

  // The datasets at, above or below a path of the store.
  Result<std::vector<std::shared_ptr<const DatasetView>>> DatasetsAt(const std::string& path);
  Status CollectBelow(const std::string& path, int depth,
                      std::vector<std::shared_ptr<const DatasetView>>& found);

  const Services services_;
  std::atomic<bool> stopping_{false};
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_CACHE_COMMANDS_H_
