#include "tools/penstock/provenance.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "penstock/dataset/checksum.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

// The list `name` of the sidecar's table of sources; empty where it is not what it should be.
std::vector<std::string> SourceColumn(const Json& nexus, const char* name) {
  const Json::json_pointer pointer(std::string("/entry1/penstock/sources/") + name);
  if (!nexus.contains(pointer) || !nexus.at(pointer).is_array()) return {};
  std::vector<std::string> column;
  for (const Json& value : nexus.at(pointer)) {
    column.push_back(value.is_string() ? value.get<std::string>() : std::string());
  }
  return column;
}

Provenance WithoutInputs(const std::vector<std::string>& command_line) {
  Provenance provenance;
  provenance.version = PENSTOCK_VERSION;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  provenance.date =
      fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  provenance.command = fmt::format("{}", fmt::join(command_line, " "));
  provenance.parameters = nlohmann::ordered_json::object();
  return provenance;
}

}  // namespace

nlohmann::ordered_json Provenance::ToJson() const {
  nlohmann::ordered_json json = {{"program", program},
                                 {"version", version},
                                 {"date", date},
                                 {"command", command},
                                 {"parameters", parameters}};
  json["inputs"] = nlohmann::ordered_json::array();
  for (const Input& input : inputs) {
    nlohmann::ordered_json line = {{"role", input.role}, {"path", input.path}};
    if (!input.checksum.empty()) {
      line["checksum"] = input.checksum;
      line["algorithm"] = input.algorithm;
    }
    json["inputs"].push_back(std::move(line));
  }
  return json;
}

Provenance ProvenanceOf(const Dataset& dataset, const std::vector<std::string>& command_line) {
  Provenance provenance = WithoutInputs(command_line);
  std::error_code ignored;
  const auto absolute = std::filesystem::absolute(dataset.directory(), ignored);
  provenance.inputs.push_back(
      {"dataset", (ignored ? dataset.directory() : absolute.lexically_normal()).string(),
       dataset.generation(), "XXH3-128 of nexus.json"});
  const std::vector<std::string> paths = SourceColumn(dataset.nexus(), "path");
  const std::vector<std::string> checksums = SourceColumn(dataset.nexus(), "checksum");
  const std::vector<std::string> algorithms = SourceColumn(dataset.nexus(), "checksum_algorithm");
  for (size_t i = 0; i < paths.size(); ++i) {
    Provenance::Input input{"source", paths[i], "", ""};
    if (i < checksums.size() && i < algorithms.size()) {
      input.checksum = checksums[i];
      input.algorithm = algorithms[i];
    }
    provenance.inputs.push_back(std::move(input));
  }
  return provenance;
}

Provenance ProvenanceOf(const ingest::SourceDescription& source,
                        const std::vector<std::string>& command_line) {
  Provenance provenance = WithoutInputs(command_line);
  for (const ingest::SourceFile& file : source.files) {
    std::error_code ignored;
    const auto absolute = std::filesystem::absolute(file.path, ignored);
    provenance.inputs.push_back(
        {"source", (ignored ? file.path : absolute.lexically_normal()).string(), "", ""});
  }
  return provenance;
}

Status AddInput(Provenance& provenance, const std::string& role,
                const std::filesystem::path& file) {
  PENSTOCK_ASSIGN_OR_RETURN(std::string digest, HashFile(file));
  provenance.inputs.push_back({role, file.string(), std::move(digest), "XXH3-128"});
  return Status::Ok();
}

}  // namespace penstock::tools
