// A sidecar as people want to see it: what nexus.json says besides shape and blocks, read back from
// the NeXus tree (docs/sidecar.md).
//
// Nothing here is needed to read data, so reading is lenient: what is absent or of another form
// than expected stays empty. Plain values; thread-safe.

#ifndef PENSTOCK_CATALOG_SIDECAR_VIEW_H_
#define PENSTOCK_CATALOG_SIDECAR_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "penstock/dataset/description.h"

namespace penstock::catalog {

struct SidecarAnomaly {
  std::string kind;
  std::string file;
  int64_t byte_offset = -1;  // -1 where it has none
  int64_t frame = -1;        // of the source; -1 where it has none
  std::string message;
};

struct SidecarView {
  std::string source_format;
  std::string scan_shape_evidence;
  int64_t frames_in_source = 0;
  std::string start_time;  // ISO 8601
  // Scalar fields below the NXentry that describe the experiment, in the order of the file.
  // Evidence "" where the sidecar has none.
  std::vector<MetadataFact> facts;
  std::vector<std::pair<std::string, AxisCalibration>> axes;  // by name, slow axis first
  std::vector<SourceFileRecord> sources;
  std::vector<SidecarAnomaly> anomalies;
  int64_t anomaly_count = 0;
  Json orientation = Json::object();         // as in the sidecar
  std::vector<HistoryEntry> history;         // oldest first; parameters parsed
  std::vector<std::string> absent_required;  // NXem fields that the dataset lacks
};

SidecarView ViewSidecar(const Json& nexus);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_SIDECAR_VIEW_H_
