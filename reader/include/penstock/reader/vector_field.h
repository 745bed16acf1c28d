// Fields of vectors over a scan: what becomes of centres of mass afterwards (DPC, iCoM).
//
// Components are along increasing scan columns and along increasing scan rows, one per frame in C
// order. Values that are not finite (frames without a centre) count as no deflection. Pure
// functions, thread-safe.

#ifndef PENSTOCK_READER_VECTOR_FIELD_H_
#define PENSTOCK_READER_VECTOR_FIELD_H_

#include <cstdint>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/result_array.h"

namespace penstock {

struct VectorField {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> along_rows;
  std::vector<double> along_columns;
};

// The centres of mass of a scan about their mean. kInvalidArgument for a series, whose frames have
// no neighbours, and where the two arrays differ in shape.
Result<VectorField> FieldOfCentres(const ResultArray& rows, const ResultArray& columns);

// From the detector's axes to those of the scan: first the component along the rows changes its
// sign (flip), then every vector is turned from increasing columns towards increasing rows.
struct FieldCorrection {
  double rotation_degrees = 0;
  bool flip = false;
};
VectorField Correct(VectorField field, const FieldCorrection& correction);

// d(rows)/d(row) + d(columns)/d(column), and d(rows)/d(column) - d(columns)/d(row), per pixel of
// the scan: central differences, one-sided at the edges.
ResultArray Divergence(const VectorField& field);
ResultArray Curl(const VectorField& field);

struct EstimatedCorrection {
  FieldCorrection correction;
  // The mean square of the curl that is left, as a share of that of curl and divergence together:
  // 0 for a field that has a potential, 0.5 where no turn does better than another.
  double remaining_curl = 0;
};
// The correction that leaves the least curl, as a deflection by a potential has none. Of the two
// opposite turns which do so the one with the more negative skewness of the divergence is taken:
// electrons are drawn to atoms, which are small. kInvalidArgument for a scan of less than 3 x 3.
Result<EstimatedCorrection> EstimateCorrection(const VectorField& field);

// The potential whose gradient comes nearest to the field, by Fourier integration, with mean 0:
// iCoM, and iDPC where the field is one of differential phase contrast. In units of the field times
// one scan step. The field is mirrored at the edges, so that opposite edges need not fit together.
ResultArray Integrate(const VectorField& field);

}  // namespace penstock

#endif  // PENSTOCK_READER_VECTOR_FIELD_H_
