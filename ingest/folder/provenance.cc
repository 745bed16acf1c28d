#include "penstock/ingest/provenance.h"

#include <fmt/format.h>

#include <optional>

#include "ingest/pipeline/describe.h"
#include "ingest/pipeline/publication.h"
#include "ingest/pipeline/source_digest.h"
#include "penstock/dataset/dataset.h"

namespace penstock::ingest {

namespace {

// Members that are absent or of another type: null.
const Json& Member(const Json& object, const std::string& name) {
  static const Json kNone;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() ? kNone : *found;
}

const Json& Cell(const Json& table, const std::string& column, size_t row) {
  static const Json kNone;
  const Json& list = Member(table, column);
  return list.is_array() && row < list.size() ? list[row] : kNone;
}

// The parameters of the last ingest in the history; null where there is none.
Json LastParameters(const Json& penstock) {
  Json last;
  for (const auto& [name, entry] : Member(penstock, "history").items()) {
    if (Member(entry, "operation") != Json("ingest")) continue;
    const Json& parameters = Member(entry, "parameters");
    if (!parameters.is_string()) continue;
    last = Json::parse(parameters.get<std::string>(), nullptr, false);
  }
  return last;
}

class Comparison {
 public:
  Comparison(const IngestPlan& plan, const Dataset& dataset)
      : plan_(plan),
        dataset_(dataset),
        penstock_(Member(Member(dataset.nexus(), "entry1"), "penstock")) {}

  Result<DestinationState> Run(const std::stop_token& stop) const {
    if (!(dataset_.shape() == plan_.shape)) {
      return Other("the dataset that is there has another shape or element type");
    }
    const std::vector<SourceFile>& files = plan_.source->description().files;
    const Json& table = Member(penstock_, "sources");
    const Json& names = Member(table, "name");
    const size_t count = names.is_array() ? names.size() : 0;
    if (count != files.size()) {
      return Other(
          fmt::format("the dataset that is there was made from {} files, this source has {}", count,
                      files.size()));
    }
    bool times_differ = false;
    for (size_t i = 0; i < files.size(); ++i) {
      const SourceFile& file = files[i];
      const std::string name = file.path.filename().string();
      if (Cell(table, "name", i) != Json(name) ||
          Cell(table, "bytes", i) != Json(file.identity.size)) {
        return Other(
            fmt::format("the dataset that is there was made from {} of {} bytes, this "
                        "source has {} of {} bytes",
                        Cell(table, "name", i).dump(), Cell(table, "bytes", i).dump(), name,
                        file.identity.size));
      }
      times_differ = times_differ || Cell(table, "modified_ns", i) != Json(file.identity.mtime_ns);
    }
    const Json parameters = LastParameters(penstock_);
    if (Member(parameters, "mapping") != MappingToJson(plan_.mapping)) {
      return Other(
          "the dataset that is there was made from these files, but with other frames at its scan "
          "positions");
    }
    const bool nan_there = Member(parameters, "missing") == Json("nan");
    const bool nan_wanted = plan_.options.missing == MissingPolicy::kNan;
    if (nan_there != nan_wanted && HasMissingFrames()) {
      return Other(fmt::format("the missing frames of the dataset that is there are {}",
                               nan_there ? "NaN and not 0" : "0 and not NaN"));
    }
    if (times_differ) return CompareDigests(table, stop);
    return DestinationState{DestinationKind::kSame, ""};
  }

 private:
  static DestinationState Other(std::string difference) {
    return {DestinationKind::kOther, std::move(difference)};
  }

  bool HasMissingFrames() const {
    const ScanMapping& mapping = plan_.mapping;
    return mapping.MissingInFront() + mapping.LostPositions() + mapping.MissingAtEnd() > 0;
  }

  Result<DestinationState> CompareDigests(const Json& table, const std::stop_token& stop) const {
    const std::vector<SourceFile>& files = plan_.source->description().files;
    SourceDigests digests(files);
    SilentProgress silent;
    PENSTOCK_ASSIGN_OR_RETURN(const auto found, digests.Finish(silent, stop));
    for (size_t i = 0; i < files.size(); ++i) {
      if (Cell(table, "checksum", i) == Json(found[i].digest)) continue;
      return Other(fmt::format("{} changed since the dataset that is there was made from it",
                               files[i].path.filename().string()));
    }
    return DestinationState{DestinationKind::kSame, ""};
  }

  const IngestPlan& plan_;
  const Dataset& dataset_;
  const Json& penstock_;
};

}  // namespace

Result<DestinationState> LookAtDestination(const IngestPlan& plan, const std::stop_token& stop) {
  for (std::filesystem::path above = plan.destination.parent_path(); above.has_relative_path();
       above = above.parent_path()) {
    if (!LooksLikeDataset(above)) continue;
    return DestinationState{DestinationKind::kInsideOther,
                            "it would lie inside the dataset " + above.string()};
  }
  if (!NameExists(plan.destination)) return DestinationState{};
  if (!LooksLikeDataset(plan.destination)) {
    return DestinationState{DestinationKind::kNoDataset, "what is there is no dataset"};
  }
  const Result<Dataset> dataset = Dataset::Open(plan.destination);
  if (!dataset.ok()) {
    return DestinationState{DestinationKind::kOther, "the dataset that is there cannot be read: " +
                                                         dataset.error().ToString()};
  }
  if (dataset->state() == "growing") {
    return DestinationState{DestinationKind::kGrowing,
                            "the dataset that is there has not been finished by 'penstock ingest "
                            "--follow'"};
  }
  return Comparison(plan, *dataset).Run(stop);
}

}  // namespace penstock::ingest
