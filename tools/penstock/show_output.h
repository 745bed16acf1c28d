// What `penstock show` prints, for people and as JSON.

#ifndef PENSTOCK_TOOLS_SHOW_OUTPUT_H_
#define PENSTOCK_TOOLS_SHOW_OUTPUT_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "penstock/catalog/entry.h"
#include "penstock/catalog/sidecar_view.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/dataset.h"

namespace penstock::tools {

// Everything that is shown; text and JSON are made of the same.
struct ShownDataset {
  Dataset dataset;
  catalog::SidecarView sidecar;
  std::vector<FrameRange> missing;  // runs of frames that image_key marks
  std::string missing_error;        // why they are not known
  std::optional<std::filesystem::path> store;
  std::optional<catalog::VerifyRecord> verified;
};

std::string ShownToText(const ShownDataset& shown);
nlohmann::ordered_json ShownToJson(const ShownDataset& shown);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_SHOW_OUTPUT_H_
