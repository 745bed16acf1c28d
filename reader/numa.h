// Memory nodes: on machines with more than one, each worker stays with the processors of a node, so
// that its buffers, which it touches first, lie beside them.

#ifndef PENSTOCK_READER_NUMA_H_
#define PENSTOCK_READER_NUMA_H_

#include <sched.h>

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace penstock {

struct NumaNode {
  int number = 0;
  std::vector<int> processors;
};

// The kernel's notation: "0-3,8,10-11". Nothing where it is something else.
std::optional<std::vector<int>> ParseProcessorList(std::string_view text);

// The nodes that have some of the `allowed` processors, with those, by number. Empty where the
// kernel tells of none.
std::vector<NumaNode> UsableNodes(const cpu_set_t& allowed,
                                  const std::filesystem::path& nodes = "/sys/devices/system/node");

// Which node, by its place in `nodes`, each of `workers` belongs to: in turns, by how many
// processors the nodes have. Nothing to decide (empty) where there is one node, or none.
std::vector<size_t> SpreadOverNodes(const std::vector<NumaNode>& nodes, int workers);

// Binds the calling thread to the processors of a node until it is destroyed. That it does not work
// is no error: then the thread goes where it is put.
class NodeBinding {
 public:
  explicit NodeBinding(const NumaNode& node);
  ~NodeBinding();
  NodeBinding(const NodeBinding&) = delete;
  NodeBinding& operator=(const NodeBinding&) = delete;

 private:
  std::optional<cpu_set_t> before_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_NUMA_H_
