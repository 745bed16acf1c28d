// DatasetDescription: everything that nexus.json says about a dataset besides its blocks.
//
// The rule for every fact: it comes with the evidence it was taken from, and with a unit where it
// has one; what is not known is absent. Plain values, not synchronised.

#ifndef PENSTOCK_DATASET_DESCRIPTION_H_
#define PENSTOCK_DATASET_DESCRIPTION_H_

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "penstock/dataset/geometry.h"

namespace penstock {

using Json = nlohmann::ordered_json;

// One NeXus field. `path` is relative to the NXentry, for example
// "measurement/event1/instrument/detector1/count_time"; the sidecar writer knows the NX_class of
// the groups on the way (docs/sidecar.md lists the paths in use).
struct MetadataFact {
  std::string path;
  Json value;            // a number, string, boolean or small list
  std::string units;     // NeXus unit string, "" where the field has none
  std::string evidence;  // "scan.mib: header of frame 0, field 11 (shutter time)"
};

// Linear coordinates of one axis: value(i) = offset + i * step, in `units`.
struct AxisCalibration {
  double offset = 0;
  double step = 1;
  std::string units;
  std::string long_name;
  std::string evidence;
};

// Detector pixels that are not to be used in any frame, by the bits of NXdetector's pixel_mask: 0
// no sensor or no data there, 1 dead, 2 under-responding, 3 over-responding, 4 noisy; zero is good.
struct PixelMask {
  std::vector<uint32_t> values;  // per pixel in C order; empty: nothing is known
  // The frames as stored already have these pixels set to a constant.
  std::optional<bool> applied;
  std::string evidence;
};

// A file that the dataset was made from.
struct SourceFileRecord {
  std::string path;        // as given, for provenance only
  std::string name;        // last component
  std::string role;        // "frames", "header", "metadata", "dark", ...
  std::string media_type;  // "application/x-medipix-mib"
  uint64_t bytes = 0;
  int64_t modified_ns = 0;         // time of the last modification, UNIX; 0 where unknown
  std::string checksum;            // "" where not computed
  std::string checksum_algorithm;  // see docs/layout.md, "Source digests"
};

// A vendor header kept verbatim (text as it is; binary as escaped text).
struct VendorHeader {
  std::string name;  // "scan.hdr", "scan.mib frame 0"
  std::string text;  // UTF-8
};

enum class AnomalyKind : uint8_t {
  kDuplicateFrame,
  kMissingFrame,
  kPartialSector,
  kTruncated,
  kHeaderContradiction,
  kExtraFrames,
  kOther,
};

std::string_view AnomalyKindName(AnomalyKind kind);

// Something about the input that a user must know, with its place and evidence.
struct Anomaly {
  AnomalyKind kind = AnomalyKind::kOther;
  std::string file;
  std::optional<uint64_t> byte_offset;
  std::optional<int64_t> frame;  // source frame number
  std::string message;           // what was expected and what was found
};

// How detector rows and columns lie. Matrices act on (row, column) index vectors, row-major 2x2.
struct OrientationRecord {
  using Matrix = std::array<double, 4>;
  Matrix file_to_stored{1, 0, 0, 1};  // what the decoder did; {-1,0,0,1} = rows reversed
  std::string file_to_stored_source = "format";
  std::optional<Matrix> stored_to_display;           // the vendor's display, where documented
  std::string stored_to_display_source = "unknown";  // format, vendor-default, user, unknown
  std::optional<double> detector_to_scan_rotation;   // radian
  std::string detector_to_scan_rotation_source = "unknown";
};

// A line of the append-only history.
struct HistoryEntry {
  std::string time;       // ISO 8601 with zone
  std::string tool;       // "penstock 0.1.0"
  std::string operation;  // "ingest"
  std::vector<std::string> command;
  Json parameters;  // digests of inputs, transforms, policies
};

struct DatasetDescription {
  std::string name;  // directory name of the dataset
  DatasetShape shape;
  BlockGrid grid;
  std::string source_format;  // "mib", "ser", "raw", ...
  std::string scan_shape_evidence;
  std::vector<MetadataFact> facts;
  std::map<std::string, AxisCalibration> axes;  // by name: axis_m, axis_k, axis_j, axis_i
  std::vector<SourceFileRecord> sources;
  std::vector<VendorHeader> vendor_headers;
  std::vector<Anomaly> anomalies;
  OrientationRecord orientation;
  PixelMask pixel_mask;
  std::vector<HistoryEntry> history;
  int64_t source_frames = 0;  // frames in the source, which may differ from the scan's
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_DESCRIPTION_H_
