// Whether frames are shown the right way round: held against a picture of a known pattern.
//
// An orientation is the matrix of OrientationRecord::stored_to_display, on (row, column) index
// vectors: the pixel that is stored at p is displayed at M p, shifted so that indices begin at 0.
// There are eight that permute pixels. Pure functions but for the files they read; thread-safe.

#ifndef PENSTOCK_INGEST_ORIENTATION_H_
#define PENSTOCK_INGEST_ORIENTATION_H_

#include <filesystem>
#include <span>
#include <stop_token>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

struct NamedOrientation {
  std::string_view name;
  OrientationRecord::Matrix matrix;
};

// All eight, the identity first. rotate-90 turns against the clock as numpy.rot90 does.
std::span<const NamedOrientation> NamedOrientations();
// "rotate-90"; "" for a matrix that is none of the eight.
std::string_view OrientationName(const OrientationRecord::Matrix& matrix);

// What the sidecar of the plan's dataset will say: the user's statement, the vendor's or the
// identity.
OrientationRecord::Matrix OrientationInForce(const IngestPlan& plan);

// Holds the mean of up to 16 frames of the source, as they are displayed under the orientation in
// force, against `reference`: a 2-D array of real numbers in an NPY file that shows the pattern as
// it has to be displayed, row 0 on top. Leaves the outcome in plan.options, for the history, and a
// remark. Correlations are Pearson's, over pixels that are finite and not in the pixel mask.
//
// kContradiction where another orientation fits best (the advice names it), or none at all.
// kInvalidArgument for a reference that cannot decide: of another shape, constant, or so symmetric
// that two orientations of it look the same. Else the errors of reading and decoding.
Status VerifyOrientation(const std::filesystem::path& reference, const std::stop_token& stop,
                         IngestPlan& plan);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_ORIENTATION_H_
