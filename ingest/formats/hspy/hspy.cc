// HyperSpy's HDF5 files: groups of Experiments. docs/formats/hspy.md.

#include <fmt/format.h>

#include "ingest/formats/hdf5/dresses.h"
#include "ingest/formats/hspy/experiment.h"

namespace penstock::ingest::hdf5 {

Result<Selection> SelectHspy(const Object& root, const std::string& dataset_path) {
  const auto experiments = root.Find("Experiments");
  if (!experiments) return NoCandidate(root, "a group /Experiments");
  std::vector<Object> candidates;
  std::vector<Object> groups;
  for (const std::string& name : experiments->Children(10000)) {
    auto group = experiments->Find(name);
    auto data = group ? group->Find("data") : std::nullopt;
    if (!data || !data->is_dataset() || data->Shape().size() < 2) continue;
    groups.push_back(std::move(*group));
    candidates.push_back(std::move(*data));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Choice choice, Choose(root, candidates, dataset_path));
  if (!choice.found) {
    if (!dataset_path.empty()) return SelectPlain(root, dataset_path);
    return NoCandidate(root, "an experiment with data of at least two axes");
  }
  const Object& experiment = groups[choice.index];
  Selection selection;
  PENSTOCK_RETURN_IF_ERROR(
      hspy::ExperimentReader<Object>(experiment, candidates[choice.index].Shape(),
                                     root.container()->path().string(),
                                     "name the dataset with --dataset-path and --format hdf5 to "
                                     "take its last two axes for images all the same",
                                     selection)
          .Read());
  selection.vendor_headers.push_back(DumpMetadata(experiment, root.container()->name()));
  selection.suggested_name = root.container()->path().stem().string();
  selection.parts.push_back(std::move(candidates[choice.index]));
  const std::string version = root.TextAttribute("file_format_version").value_or("");
  if (version.empty() || version[0] > '3' || version.size() > 3) {
    AddAnomaly(selection, root, AnomalyKind::kOther,
               fmt::format("file_format_version is '{}'; versions up to 3 are known", version));
  }
  return selection;
}

}  // namespace penstock::ingest::hdf5
