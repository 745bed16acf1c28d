// Masks of few pixels: rows of sparse matrices, disks at the points of a lattice.
//
// What they cost follows from the pixels that they have, not from the size of the frame: hundreds
// of small disks take one pass. Coordinates as in mask.h. Pure functions and plain values,
// thread-safe.

#ifndef PENSTOCK_READER_SPARSE_MASK_H_
#define PENSTOCK_READER_SPARSE_MASK_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/mask.h"

namespace penstock {

// The pixels that have a weight; all others have 0. A pixel that occurs more than once has the sum
// of its weights, as in scipy.sparse.
struct SparseMask {
  std::string name;
  SignalShape shape;
  std::vector<int64_t> pixels;  // row * columns + column, in any order
  std::vector<double> weights;  // one per pixel of the list
  std::vector<double> imaginary = {};

  bool is_complex() const { return !imaginary.empty(); }
};

using AnyMask = std::variant<Mask, SparseMask>;

const std::string& NameOf(const AnyMask& mask);
SignalShape ShapeOf(const AnyMask& mask);
// kInvalidArgument where numbers of weights and pixels contradict each other, for pixels outside of
// the frame and weights that are not finite.
Status Validate(const AnyMask& mask);
// Precondition of the two: Validate.
Mask Dense(const SparseMask& mask);
SparseMask Sparse(const Mask& mask);

// A sparse matrix in compressed rows: the entries of row k are [row_starts[k], row_starts[k + 1]).
struct CsrMatrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<int64_t> row_starts;
  std::vector<int64_t> entry_columns;
  std::vector<double> values;
  std::vector<double> imaginary = {};
};

// One mask per row, named NAME[k]; columns are pixels in C order. kInvalidArgument where the matrix
// contradicts itself or has not one column per pixel.
Result<std::vector<SparseMask>> MasksOfRows(const CsrMatrix& matrix, SignalShape shape,
                                            const std::string& name);

// Disks at row + h * a_row + k * b_row, column + h * a_column + k * b_column for first <= h, k <=
// last: what a diffraction pattern of a crystal has.
struct LatticeDisks {
  double row = 0;
  double column = 0;
  double a_row = 0;
  double a_column = 0;
  double b_row = 0;
  double b_column = 0;
  int64_t first = 0;
  int64_t last = 0;
  double radius = 0;
};
// One mask per disk, by rising h, then k, named "lattice[h,k]"; those that have no pixel in the
// frame are left out. kInvalidArgument for vectors along one line, for more than 2^20 points, and
// where no disk is left.
Result<std::vector<SparseMask>> LatticeMasks(SignalShape shape, const LatticeDisks& lattice);

// A matrix of scipy.sparse.save_npz in the formats csr, csc or coo with one column per pixel and
// one row per mask. kUnsupported for anything else; the message names file and member.
Result<std::vector<SparseMask>> LoadSparseMasks(const std::filesystem::path& npz_file,
                                                SignalShape shape);

// What ParseMasks takes, and sparse masks as such:
// "lattice:ROW,COLUMN,A_ROW,A_COLUMN,B_ROW,B_COLUMN,FIRST,LAST,RADIUS", a mask per disk;
// "lattice-union:..." for all of them in one; or the name of an .npz file (LoadSparseMasks).
Result<std::vector<AnyMask>> ParseAnyMasks(std::string_view text, SignalShape shape);

}  // namespace penstock

#endif  // PENSTOCK_READER_SPARSE_MASK_H_
