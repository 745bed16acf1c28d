// What a file of arrays (HDF5, Zarr) says of the array that holds the frames: its axes, their
// scales, and everything else that goes into the description of the source.

#ifndef PENSTOCK_INGEST_FORMATS_CHUNKED_FRAME_SELECTION_H_
#define PENSTOCK_INGEST_FORMATS_CHUNKED_FRAME_SELECTION_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/chunked/chunk_grid.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::chunked {

// What the file says of an axis of the dataset. Without a step it says nothing of its scale.
struct AxisStatement {
  std::string name;
  std::string units;
  double offset = 0;
  std::optional<double> step;
  std::string evidence;
};

struct FrameSelection {
  FrameAxes axes;
  std::vector<AxisStatement> statements;  // one per axis of the dataset, or none at all

  // The navigation axes are a scan or a series, as the dataset's shape says. False where frames
  // only follow each other, and scan_shapes is all there is.
  bool shape_is_evidence = true;
  std::vector<ScanShapeEvidence> scan_shapes;
  std::vector<MissingFrames> missing_frames;
  std::map<std::string, AxisCalibration> scan_axes;  // where they are not axes of the dataset

  std::string suggested_name;  // default: the name of the file
  std::vector<MetadataFact> facts;
  std::vector<VendorHeader> vendor_headers;
  std::vector<Anomaly> anomalies;
  std::vector<SourceFile> other_files;  // read for metadata
};

void AddFact(FrameSelection& selection, std::string path, Json value, std::string units,
             std::string evidence);

// Offset and step of coordinates that are given one by one. Says nothing where they are fewer than
// two, or not linear to a thousandth of a step. Gives what there is to report, mostly nothing.
std::optional<std::string> FitLinear(AxisStatement& axis, const std::vector<double>& values,
                                     uint64_t size);

// Two navigation axes make a scan; axes of 1 among more than two say nothing.
void DropSingleAxes(FrameAxes& axes, const std::vector<uint64_t>& shape, bool keep_first);

// The scan shape that the array's own shape states, and the calibrations of its axes. `place`:
// "scan.h5:/entry/data"; `file` is that of the anomaly where axes are folded.
void DescribeShape(const FrameSelection& selection, const std::vector<uint64_t>& shape,
                   int64_t frames, const std::string& place, const std::string& file,
                   SourceDescription& description);
void DescribeAxes(const FrameSelection& selection, SourceDescription& description);

}  // namespace penstock::ingest::chunked

#endif  // PENSTOCK_INGEST_FORMATS_CHUNKED_FRAME_SELECTION_H_
