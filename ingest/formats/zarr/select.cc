#include "ingest/formats/zarr/select.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/chunked/json_values.h"
#include "ingest/formats/hspy/experiment.h"
#include "ingest/formats/zarr/array_metadata.h"

namespace penstock::ingest::zarr {

namespace {

using chunked::ShapeText;

constexpr size_t kMaxListed = 20;
constexpr size_t kMaxCandidates = 1000;

std::string Describe(const Node& array) {
  return fmt::format("{} {} {}", array.path(), ShapeText(array.Shape()), TypeText(array));
}

std::string List(const std::vector<Node>& arrays) {
  std::string list;
  for (size_t i = 0; i < arrays.size() && i < kMaxListed; ++i) {
    list += (i == 0 ? "" : "; ") + Describe(arrays[i]);
  }
  if (arrays.size() > kMaxListed) list += fmt::format("; and {} more", arrays.size() - kMaxListed);
  return list;
}

Error Several(const Node& root, const std::vector<Node>& candidates) {
  return Error::InvalidArgument("several arrays could be meant")
      .In(root.store()->root.string())
      .Expected("one")
      .Found(List(candidates))
      .Advice("choose with --dataset-path");
}

std::vector<Node> ArraysBelow(const Node& root) {
  std::vector<Node> arrays;
  WalkNodes(root, [&](const Node& node) {
    if (node.is_array() && arrays.size() < kMaxCandidates) arrays.push_back(node);
    return true;
  });
  return arrays;
}

Error None(const Node& root, const char* expected) {
  const std::vector<Node> arrays = ArraysBelow(root);
  return Error::Unsupported("the Zarr hierarchy holds no frames that are recognised")
      .In(root.store()->root.string())
      .At(root.path())
      .Expected(expected)
      .Found(arrays.empty() ? "no array" : List(arrays))
      .Advice("if one of them is meant, name it with --dataset-path");
}

// The only stack of images below the group, or the only image.
Result<Node> OnlyArray(const Node& root) {
  if (root.is_array()) return root;
  std::vector<Node> stacks;
  std::vector<Node> images;
  for (Node& array : ArraysBelow(root)) {
    const std::vector<uint64_t> shape = array.Shape();
    if (shape.size() < 2 || !PixelType(array)) continue;
    if (shape.back() < 2 || shape[shape.size() - 2] < 2) continue;
    (shape.size() > 2 ? stacks : images).push_back(std::move(array));
  }
  std::vector<Node>& candidates = stacks.empty() ? images : stacks;
  if (candidates.empty()) return None(root, "an array of numbers with at least two axes");
  if (candidates.size() > 1) return Several(root, candidates);
  return std::move(candidates.front());
}

Result<ZarrSelection> Plain(const Node& root, Node array) {
  const size_t rank = array.Shape().size();
  if (rank < 2) {
    const auto metadata = ReadArrayMetadata(array);  // may know better what is wrong
    if (!metadata.ok()) return metadata.error();
    return Error::Unsupported("the array holds no frames")
        .In(root.store()->root.string())
        .At(array.path())
        .Expected("at least two axes")
        .Found(Describe(array));
  }
  ZarrSelection selection;
  selection.axes = chunked::ImageAxes(rank);
  selection.array = std::move(array);
  return selection;
}

Result<ZarrSelection> FromExperiment(const Node& root, const Node& experiment, Node data) {
  ZarrSelection selection;
  hspy::ExperimentReader<Node> reader(
      experiment, data.Shape(), root.store()->root.string(),
      "save it from HyperSpy as two-dimensional signals: as_signal2D", selection);
  PENSTOCK_RETURN_IF_ERROR(reader.Read());
  selection.array = std::move(data);
  return selection;
}

// HyperSpy's experiments.
Result<ZarrSelection> SelectExperiment(const Node& root, const Node& experiments) {
  std::vector<Node> groups;
  std::vector<Node> arrays;
  for (const std::string& name : experiments.Children(10000)) {
    auto group = experiments.Find(name);
    auto data = group ? group->Find("data") : std::nullopt;
    if (!data || !data->is_array() || data->Shape().size() < 2) continue;
    groups.push_back(std::move(*group));
    arrays.push_back(std::move(*data));
  }
  if (arrays.empty()) return None(root, "an experiment with data of at least two axes");
  if (arrays.size() > 1) return Several(root, arrays);
  return FromExperiment(root, groups.front(), std::move(arrays.front()));
}

// The array is that of an experiment.
std::optional<Node> ExperimentOf(const Node& root, const Node& array) {
  const std::string& path = array.path();
  if (array.name() != "data" || path.size() < 6) return std::nullopt;
  auto group = root.Get(path.substr(0, path.size() - 5));
  if (!group.ok() || !group->is_group()) return std::nullopt;
  if (!group->Find("axis-0") && !group->Find("metadata/Signal")) return std::nullopt;
  return std::move(group).value();
}

// NeXus: the chain of `default` to an NXdata. Nothing where there is none.
std::optional<Node> DefaultData(const Node& root) {
  std::optional<Node> at = root;
  for (int i = 0; i < 8 && at && at->is_group(); ++i) {
    if (at->TextAttribute("NX_class") == "NXdata") return at;
    const auto next = at->TextAttribute("default");
    at = next ? at->Find(*next) : std::nullopt;
  }
  return std::nullopt;
}

Result<ZarrSelection> FromNexus(const Node& root, const Node& data, Node signal) {
  PENSTOCK_ASSIGN_OR_RETURN(ZarrSelection selection, Plain(root, std::move(signal)));
  const std::vector<uint64_t> shape = selection.array.Shape();
  selection.statements.resize(shape.size());
  const auto axes = data.Attribute("axes");
  const std::vector<std::string> names =
      axes ? chunked::AsTexts(*axes) : std::vector<std::string>();
  for (size_t i = 0; i < names.size() && names.size() == shape.size(); ++i) {
    const auto array = names[i] == "." ? std::nullopt : data.Find(names[i]);
    if (!array || !array->is_array() || array->Shape().size() != 1) continue;
    chunked::AxisStatement& statement = selection.statements[i];
    statement.name = array->TextAttribute("long_name").value_or(names[i]);
    statement.units = array->TextAttribute("units").value_or("");
    statement.evidence = array->Place() + ": values and units";
    const std::vector<double> values = array->Numbers();
    if (values.size() == shape[i]) {
      SetLinear(statement, values, shape[i], *array, selection);
    } else {
      AddAnomaly(selection, *array, AnomalyKind::kOther,
                 fmt::format("{} coordinates that can be read, for an axis of {}: left out",
                             values.size(), shape[i]));
    }
  }
  return selection;
}

// By the rules of the file.
Result<ZarrSelection> SelectByRule(const Node& root) {
  if (const auto experiments = root.Find("Experiments"); experiments && experiments->is_group()) {
    return SelectExperiment(root, *experiments);
  }
  if (const auto data = DefaultData(root)) {
    const std::string name = data->TextAttribute("signal").value_or("");
    auto signal = data->Find(name);
    if (name.empty() || !signal || !signal->is_array()) {
      return Error::Corrupt("this NXdata has no signal")
          .In(data->directory().string())
          .At(data->path())
          .Expected("an attribute signal that names one of its arrays")
          .Found("'" + name + "'")
          .Advice("name the array with --dataset-path");
    }
    return FromNexus(root, *data, std::move(*signal));
  }
  PENSTOCK_ASSIGN_OR_RETURN(Node array, OnlyArray(root));
  return Plain(root, std::move(array));
}

Result<ZarrSelection> SelectByPath(const Node& root, const std::string& dataset_path) {
  PENSTOCK_ASSIGN_OR_RETURN(Node chosen, root.Get("/" + dataset_path));
  if (chosen.is_group()) {
    if (const auto data = chosen.Find("data"); data && data->is_array()) {
      if (ExperimentOf(root, *data)) return FromExperiment(root, chosen, *data);
    }
    PENSTOCK_ASSIGN_OR_RETURN(chosen, OnlyArray(chosen));
  }
  if (const auto experiment = ExperimentOf(root, chosen)) {
    return FromExperiment(root, *experiment, std::move(chosen));
  }
  if (const auto data = DefaultData(root)) {
    const auto signal = data->Find(data->TextAttribute("signal").value_or(""));
    if (signal && signal->path() == chosen.path()) {
      return FromNexus(root, *data, std::move(chosen));
    }
  }
  return Plain(root, std::move(chosen));
}

}  // namespace

Result<ZarrSelection> Select(const Node& root, const std::string& dataset_path) {
  auto selection = dataset_path.empty() ? SelectByRule(root) : SelectByPath(root, dataset_path);
  if (selection.ok()) selection->vendor_headers.push_back(DumpMetadata(root));
  return selection;
}

}  // namespace penstock::ingest::zarr
