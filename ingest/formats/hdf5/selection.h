// What a dress of HDF5 (NeXus, HyperSpy, EMD, ...) tells about a file: which dataset holds the
// frames, what its axes are, and what else is known. The rest is common.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_SELECTION_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_SELECTION_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/formats/chunked/frame_selection.h"
#include "ingest/formats/hdf5/container.h"
#include "ingest/formats/hdf5/frame_reader.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::hdf5 {

using chunked::AddFact;
using chunked::AxisStatement;

struct Selection : chunked::FrameSelection {
  // Datasets of the same shape but for the first navigation axis, along which they follow each
  // other.
  std::vector<Object> parts;
};

void AddAnomaly(chunked::FrameSelection& selection, const Object& where, AnomalyKind kind,
                std::string message);

// chunked::FitLinear, its complaint as an anomaly.
void SetLinear(AxisStatement& axis, const std::vector<double>& values, uint64_t size,
               const Object& where, chunked::FrameSelection& selection);

// Every object below `root` once, links followed (those that lead nowhere are left out), at most
// 32 levels deep and 100000 in all. `visit` returns whether to look into a group.
void WalkObjects(const Object& root, const std::function<bool(const Object&)>& visit);

// "/a/b (3, 4, 5) uint16".
std::string Describe(const Object& dataset);
// Several datasets could be meant: kInvalidArgument with the list, for the user to choose.
Error SeveralCandidates(const Container& container, const std::vector<Object>& candidates);
// None could be.
Error NoCandidate(const Object& root, const std::string& expected);

// Attributes and small datasets below `root` as JSON text, at most 1 MiB; vendor headers are
// verbatim.
VendorHeader DumpMetadata(const Object& root, const std::string& name);

// What is common to all dresses: opens the arrays, describes them, makes the source.
Result<std::unique_ptr<FrameSource>> MakeSource(std::string_view format,
                                                const std::shared_ptr<Container>& container,
                                                Selection selection);

// Any dataset of numbers, for files in no dress and for --dataset-path.
Result<Selection> SelectPlain(const Object& root, const std::string& dataset_path);

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_SELECTION_H_
