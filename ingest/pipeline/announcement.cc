#include "ingest/pipeline/announcement.h"

#include <string>

#include "penstock/dataset/checksum.h"
#include "penstock/ingest/ingest.h"

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

Status CleanUpAfterPublication(const IngestPlan& plan) {
  const StagingPaths paths = StagingPaths::Of(plan.destination);
  if (!NameExists(paths.journal)) return {};
  const auto journal = Journal::Open(paths.journal);
  if (!journal.ok()) return journal.error().kind() == ErrorKind::kBusy ? Status() : journal.error();
  if (!WasPublished(**journal, paths)) return {};
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths.staging));
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths.replaced));
  return (*journal)->Remove();
}

}  // namespace penstock::ingest
