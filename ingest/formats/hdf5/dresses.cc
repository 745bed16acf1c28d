#include "ingest/formats/hdf5/dresses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace penstock::ingest::hdf5 {

namespace {

bool IsHex32(std::string_view name) {
  return name.size() == 32 &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::optional<std::string> VeloxEvidence(const Object& root) {
  if (const auto version = root.Find("Version"); version && version->is_dataset()) {
    const std::string text = version->Text().value_or("");
    for (const char* producer : {"Velox", "DevelopersKit"}) {
      if (text.find(producer) != std::string::npos) {
        return fmt::format("/Version names the format {}", producer);
      }
    }
  }
  const auto images = root.Find("Data/Image");
  if (!images) return std::nullopt;
  for (const std::string& name : images->Children(16)) {
    if (IsHex32(name) && images->Find(name + "/Metadata")) {
      return "/Data/Image holds images with Velox metadata";
    }
  }
  return std::nullopt;
}

std::optional<std::string> EmdEvidence(const Object& root, bool& py4dstem) {
  py4dstem = true;
  if (root.TextAttribute("emd_group_type") == "file") {
    return "the root's emd_group_type is 'file' (EMD 1.0)";
  }
  for (const std::string& name : root.Children(64)) {
    const auto group = root.Find(name);
    if (!group || !group->is_group()) continue;
    const auto type = group->Attribute("emd_group_type");
    if (!type) continue;
    if (AsText(*type) == "root" || AsNumber(*type) == 2) {
      return fmt::format("/{} is a tree of EMD (emd_group_type {})", name, type->dump());
    }
  }
  py4dstem = false;
  if (root.Attribute("version_major") && root.Attribute("version_minor")) {
    return "the root has version_major and version_minor (EMD)";
  }
  std::optional<std::string> found;
  WalkObjects(root, [&](const Object& object) {
    if (found || object.is_dataset()) return false;
    const auto type = object.Attribute("emd_group_type");
    if (type && AsNumber(*type) == 1) {
      found = fmt::format("{} is a data set of EMD (emd_group_type 1)", object.path());
    }
    return !found;
  });
  return found;
}

bool IsDectris(const Object& root) {
  const auto data = root.Find("entry/data");
  if (!data || !root.Find("entry/instrument/detector/detectorSpecific")) return false;
  for (const std::string& name : data->Children(16)) {
    if (name.starts_with("data")) return true;
  }
  return root.container()->name().ends_with("_master.h5");
}

}  // namespace

Recognised Recognise(const Object& root) {
  if (root.TextAttribute("file_format") == "HyperSpy") {
    return {Dress::kHspy, "its file_format is HyperSpy"};
  }
  if (auto evidence = VeloxEvidence(root)) return {Dress::kVelox, std::move(*evidence)};
  bool py4dstem = false;
  if (auto evidence = EmdEvidence(root, py4dstem)) {
    return {py4dstem ? Dress::kPy4dstem : Dress::kEmd, std::move(*evidence)};
  }
  if (IsDectris(root)) return {Dress::kDectris, "/entry/instrument/detector/detectorSpecific"};
  for (const std::string& name : root.Children(256)) {
    const auto group = root.Find(name);
    if (!group || !group->is_group()) continue;
    if (const auto nx_class = group->TextAttribute("NX_class")) {
      return {Dress::kNexus, fmt::format("/{} is of the NeXus class {}", name, *nx_class)};
    }
  }
  if (const auto experiments = root.Find("Experiments"); experiments && experiments->is_group()) {
    return {Dress::kHspy, "it has a group /Experiments, as HyperSpy before version 1"};
  }
  return {Dress::kPlain, "in none of the known dresses"};
}

Result<Choice> Choose(const Object& root, const std::vector<Object>& candidates,
                      const std::string& dataset_path) {
  Choice choice;
  if (!dataset_path.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const Object chosen, root.Get("/" + dataset_path));
    const std::string path = chosen.path() == "/" ? chosen.path() : chosen.path() + "/";
    for (size_t i = 0; i < candidates.size(); ++i) {
      const bool same = candidates[i].key() == chosen.key();
      const bool inside = chosen.is_group() && candidates[i].path().starts_with(path);
      if (!same && !inside) continue;
      if (choice.found) return SeveralCandidates(*root.container(), candidates);
      choice = {i, true};
    }
    if (!choice.found && chosen.is_group()) {
      return Error::NotFound("the group holds no frames that are recognised")
          .In(root.container()->path().string())
          .At(chosen.path())
          .Advice("name a dataset with --dataset-path");
    }
    return choice;
  }
  if (candidates.size() > 1) return SeveralCandidates(*root.container(), candidates);
  if (candidates.size() == 1) choice = {0, true};
  return choice;
}

}  // namespace penstock::ingest::hdf5
