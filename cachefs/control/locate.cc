#include "cachefs/control/locate.h"

#include <unistd.h>

#include <climits>
#include <utility>

#include "penstock/dataset/faces.h"

namespace penstock::cachefs {

namespace {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

bool IsAtOrBelow(const std::string& file, const std::string& path) {
  return path.empty() || file == path ||
         (file.starts_with(path) && file.size() > path.size() && file[path.size()] == '/');
}

// A face is made of all blocks of its dataset.
bool IsFace(const DatasetView& view, const std::string& path) {
  for (const char* const name : {kNexusFaceName, kNpyFaceName, kRawFaceName}) {
    if (path == (view.path.empty() ? name : view.path + "/" + name)) return true;
  }
  return false;
}

}  // namespace

NodeResidency ResidencyHere(const BlockCache& cache, const DatasetView& view,
                            const std::string& name) {
  NodeResidency here{.node = name.empty() ? HostName() : name, .blocks = {}, .failure = ""};
  here.blocks.reserve(view.blocks.size());
  for (const auto& block : view.blocks) here.blocks.push_back(cache.ResidencyOf(*block));
  return here;
}

Json LocateJson(const DatasetView& view, const std::string& path,
                const std::vector<NodeResidency>& nodes) {
  const std::string& below = IsFace(view, path) ? view.path : path;
  Json blocks = Json::array();
  for (size_t number = 0; number < view.blocks.size(); ++number) {
    const BlockSource& block = *view.blocks[number];
    if (!IsAtOrBelow(block.path, below)) continue;
    const BlockRegion& region = view.regions[number];
    Json holders = Json::array();
    for (const NodeResidency& node : nodes) {
      if (number >= node.blocks.size()) continue;
      const ResidencyDetail& detail = node.blocks[number];
      holders.push_back({{"node", node.node},
                         {"state", ResidencyName(detail.residency)},
                         {"extents_present", detail.extents_present},
                         {"extents", detail.extents}});
    }
    blocks.push_back({{"block", block.block},
                      {"path", block.path},
                      {"bytes", block.file_bytes},
                      {"rows", {region.first_row, region.first_row + region.row_count}},
                      {"columns", {region.first_column, region.first_column + region.column_count}},
                      {"frames", {region.first_frame, region.first_frame + region.frame_count()}},
                      {"nodes", std::move(holders)}});
  }
  Json names = Json::array();
  Json silent = Json::array();
  for (const NodeResidency& node : nodes) {
    if (node.failure.empty()) {
      names.push_back(node.node);
    } else {
      silent.push_back({{"node", node.node}, {"why", node.failure}});
    }
  }
  return {{"dataset", view.path},
          {"generation", view.generation},
          {"nodes", std::move(names)},
          {"silent", std::move(silent)},
          {"blocks", std::move(blocks)}};
}

}  // namespace penstock::cachefs
