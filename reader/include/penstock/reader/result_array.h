// ResultArray: what an operation gives back, C order, slow axis first.

#ifndef PENSTOCK_READER_RESULT_ARRAY_H_
#define PENSTOCK_READER_RESULT_ARRAY_H_

#include <complex>
#include <cstdint>
#include <filesystem>
#include <variant>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock {

// int64 where the operation is exact, float64 otherwise, complex128 where weights are complex.
// Plain values, not synchronised.
struct ResultArray {
  using Values =
      std::variant<std::vector<int64_t>, std::vector<double>, std::vector<std::complex<double>>>;
  std::vector<int64_t> shape;
  Values values = std::vector<double>{};

  bool is_integer() const { return values.index() == 0; }
  bool is_complex() const { return values.index() == 2; }
  // Precondition of the three: the array has that type.
  const std::vector<int64_t>& integers() const { return std::get<0>(values); }
  const std::vector<double>& doubles() const { return std::get<1>(values); }
  const std::vector<std::complex<double>>& complexes() const { return std::get<2>(values); }
  ElementType element_type() const;
  size_t size() const;
  // All values, or a part of them, as float64 (rounded beyond 2^53; of complex ones the modulus).
  std::vector<double> AsDoubles() const { return AsDoubles(0, size()); }
  std::vector<double> AsDoubles(size_t first, size_t count) const;
};

// Writes an .npy file of int64, float64 or complex128; an existing file is replaced.
Status WriteResult(const std::filesystem::path& path, const ResultArray& array);

}  // namespace penstock

#endif  // PENSTOCK_READER_RESULT_ARRAY_H_
