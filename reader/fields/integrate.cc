// Fourier integration of a vector field.

#include <cmath>
#include <complex>
#include <cstddef>
#include <kissfft/kissfft.hh>
#include <numbers>
#include <utility>
#include <vector>

#include "penstock/reader/vector_field.h"

namespace penstock {

namespace {

using Complex = std::complex<double>;

// In place, over both axes; the inverse is not divided by the number of values.
void Transform(std::vector<Complex>& values, size_t rows, size_t columns, bool inverse) {
  const kissfft<double> along_row(columns, inverse);
  std::vector<Complex> line(columns);
  for (size_t row = 0; row < rows; ++row) {
    along_row.transform(values.data() + row * columns, line.data());
    std::copy(line.begin(), line.end(), values.begin() + static_cast<ptrdiff_t>(row * columns));
  }
  const kissfft<double> along_column(rows, inverse);
  std::vector<Complex> column_in(rows);
  std::vector<Complex> column_out(rows);
  for (size_t column = 0; column < columns; ++column) {
    for (size_t row = 0; row < rows; ++row) column_in[row] = values[row * columns + column];
    along_column.transform(column_in.data(), column_out.data());
    for (size_t row = 0; row < rows; ++row) values[row * columns + column] = column_out[row];
  }
}

// Cycles per step of the k-th of n frequencies. At half a cycle the derivative of a real signal has
// no value: it is left out.
double Frequency(size_t k, size_t n) {
  if (2 * k == n) return 0;
  const auto signed_k = static_cast<double>(k) - (2 * k > n ? static_cast<double>(n) : 0.0);
  return signed_k / static_cast<double>(n);
}

}  // namespace

ResultArray Integrate(const VectorField& field) {
  const auto rows = static_cast<size_t>(field.rows);
  const auto columns = static_cast<size_t>(field.columns);
  const size_t tall = 2 * rows;
  const size_t wide = 2 * columns;
  // A potential that is mirrored at the edges has a gradient that is mirrored and changes the sign
  // of the component across the edge.
  std::vector<Complex> y(tall * wide);
  std::vector<Complex> x(tall * wide);
  for (size_t row = 0; row < tall; ++row) {
    const bool below = row >= rows;
    const size_t from_row = below ? tall - 1 - row : row;
    for (size_t column = 0; column < wide; ++column) {
      const bool right = column >= columns;
      const size_t from = from_row * columns + (right ? wide - 1 - column : column);
      const auto finite = [](double value) { return std::isfinite(value) ? value : 0.0; };
      y[row * wide + column] = (below ? -1.0 : 1.0) * finite(field.along_rows[from]);
      x[row * wide + column] = (right ? -1.0 : 1.0) * finite(field.along_columns[from]);
    }
  }
  Transform(y, tall, wide, false);
  Transform(x, tall, wide, false);
  for (size_t row = 0; row < tall; ++row) {
    const double ky = Frequency(row, tall);
    for (size_t column = 0; column < wide; ++column) {
      const double kx = Frequency(column, wide);
      const double squared = kx * kx + ky * ky;
      const size_t at = row * wide + column;
      y[at] = squared > 0 ? (ky * y[at] + kx * x[at]) / (Complex(0, 2 * std::numbers::pi) * squared)
                          : Complex(0);
    }
  }
  Transform(y, tall, wide, true);
  std::vector<double> potential(rows * columns);
  double mean = 0;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      double& value = potential[row * columns + column];
      value = y[row * wide + column].real() / static_cast<double>(tall * wide);
      mean += value / static_cast<double>(rows * columns);
    }
  }
  for (double& value : potential) value -= mean;
  return {{field.rows, field.columns}, std::move(potential)};
}

}  // namespace penstock
