#include "ingest/pipeline/announcement.h"

#include <string>

#include "penstock/dataset/checksum.h"

namespace penstock::ingest {

namespace {

constexpr const char* kPublish = "publish";

}  // namespace

Status AnnouncePublication(Journal& journal, const StagingPaths& paths) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string generation, HashFile(paths.staging / "nexus.json"));
  Json line;
  line[kPublish] = generation;
  return journal.Append(line);
}

bool WasPublished(const Journal& journal, const StagingPaths& paths) {
  if (journal.lines().empty()) return false;
  const Json& last = journal.lines().back();
  const auto announced = last.find(kPublish);
  if (announced == last.end()) return false;
  const auto present = HashFile(paths.destination / "nexus.json");
  return present.ok() && *announced == *present;
}

}  // namespace penstock::ingest
