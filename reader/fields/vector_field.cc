#include "penstock/reader/vector_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace penstock {

namespace {

// About the mean of those that are finite; the others become 0.
std::vector<double> AboutMean(std::vector<double> values) {
  double sum = 0;
  size_t count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  const double mean = count > 0 ? sum / static_cast<double>(count) : 0;
  for (double& value : values) value = std::isfinite(value) ? value - mean : 0;
  return values;
}

// d/d(row) and d/d(column) at one place of the scan.
class Slope {
 public:
  Slope(const VectorField& field, const std::vector<double>& component)
      : rows_(field.rows), columns_(field.columns), values_(component) {}

  double AlongRows(int64_t row, int64_t column) const {
    const int64_t above = std::max<int64_t>(row - 1, 0);
    const int64_t below = std::min(row + 1, rows_ - 1);
    return Difference(At(below, column) - At(above, column), below - above);
  }
  double AlongColumns(int64_t row, int64_t column) const {
    const int64_t left = std::max<int64_t>(column - 1, 0);
    const int64_t right = std::min(column + 1, columns_ - 1);
    return Difference(At(row, right) - At(row, left), right - left);
  }

 private:
  static double Difference(double rise, int64_t run) {
    return run > 0 ? rise / static_cast<double>(run) : 0;
  }
  double At(int64_t row, int64_t column) const {
    const double value = values_[static_cast<size_t>(row * columns_ + column)];
    return std::isfinite(value) ? value : 0;
  }

  int64_t rows_;
  int64_t columns_;
  const std::vector<double>& values_;
};

template <typename Value>
ResultArray OverScan(const VectorField& field, Value&& value) {
  std::vector<double> values;
  values.reserve(field.along_rows.size());
  for (int64_t row = 0; row < field.rows; ++row) {
    for (int64_t column = 0; column < field.columns; ++column) {
      values.push_back(value(row, column));
    }
  }
  return {{field.rows, field.columns}, std::move(values)};
}

// Sums over the inner part of the scan, where differences are central.
struct CurlAndDivergence {
  double divergence_squared = 0;
  double product = 0;
  double curl_squared = 0;

  explicit CurlAndDivergence(const VectorField& field) {
    const std::vector<double> divergence = Divergence(field).doubles();
    const std::vector<double> curl = Curl(field).doubles();
    for (int64_t row = 1; row + 1 < field.rows; ++row) {
      for (int64_t column = 1; column + 1 < field.columns; ++column) {
        const auto at = static_cast<size_t>(row * field.columns + column);
        divergence_squared += divergence[at] * divergence[at];
        product += divergence[at] * curl[at];
        curl_squared += curl[at] * curl[at];
      }
    }
  }

  // Turned by t the curl is sin(t) * divergence + cos(t) * curl. Its square, summed, is
  // (A + C) / 2 - (A - C) / 2 * cos(2t) + B * sin(2t).
  double BestTurn() const {
    return std::atan2(-product, (divergence_squared - curl_squared) / 2) / 2;
  }
  double LeastCurl() const {
    const double total = divergence_squared + curl_squared;
    if (total <= 0) return 0.5;
    const double swing = std::hypot((divergence_squared - curl_squared) / 2, product);
    return std::max(0.0, (total / 2 - swing) / total);
  }
};

double SkewnessOfDivergence(const VectorField& field) {
  const std::vector<double> divergence = Divergence(field).doubles();
  double mean = 0;
  for (const double value : divergence) mean += value;
  mean /= static_cast<double>(divergence.size());
  double cubes = 0;
  for (const double value : divergence) cubes += std::pow(value - mean, 3);
  return cubes;
}

}  // namespace

Result<VectorField> FieldOfCentres(const ResultArray& rows, const ResultArray& columns) {
  if (rows.shape.size() != 2 || rows.shape != columns.shape) {
    return Error::InvalidArgument("these centres are no field over a scan")
        .Expected("two arrays of one shape (scan rows, scan columns)")
        .Found(fmt::format("({}) and ({})", fmt::join(rows.shape, ", "),
                           fmt::join(columns.shape, ", ")));
  }
  return VectorField{rows.shape[0], rows.shape[1], AboutMean(rows.AsDoubles()),
                     AboutMean(columns.AsDoubles())};
}

VectorField Correct(VectorField field, const FieldCorrection& correction) {
  const double turn = correction.rotation_degrees * std::numbers::pi / 180;
  const double cosine = std::cos(turn);
  const double sine = std::sin(turn);
  for (size_t i = 0; i < field.along_rows.size(); ++i) {
    const double y = correction.flip ? -field.along_rows[i] : field.along_rows[i];
    const double x = field.along_columns[i];
    field.along_columns[i] = x * cosine - y * sine;
    field.along_rows[i] = x * sine + y * cosine;
  }
  return field;
}

ResultArray Divergence(const VectorField& field) {
  const Slope rows(field, field.along_rows);
  const Slope columns(field, field.along_columns);
  return OverScan(field, [&](int64_t row, int64_t column) {
    return rows.AlongRows(row, column) + columns.AlongColumns(row, column);
  });
}

ResultArray Curl(const VectorField& field) {
  const Slope rows(field, field.along_rows);
  const Slope columns(field, field.along_columns);
  return OverScan(field, [&](int64_t row, int64_t column) {
    return rows.AlongColumns(row, column) - columns.AlongRows(row, column);
  });
}

Result<EstimatedCorrection> EstimateCorrection(const VectorField& field) {
  if (field.rows < 3 || field.columns < 3) {
    return Error::InvalidArgument("the scan is too small to estimate a rotation from")
        .Expected("at least 3 x 3 frames")
        .Found(fmt::format("{} x {}", field.rows, field.columns));
  }
  EstimatedCorrection best;
  best.remaining_curl = 2;  // more than any
  for (const bool flip : {false, true}) {
    const CurlAndDivergence sums(Correct(field, {0, flip}));
    // The flip needs a reason beyond rounding.
    if (sums.LeastCurl() > best.remaining_curl - 1e-12) continue;
    best = {{sums.BestTurn() * 180 / std::numbers::pi, flip}, sums.LeastCurl()};
  }
  if (SkewnessOfDivergence(Correct(field, best.correction)) > 0) {
    double& degrees = best.correction.rotation_degrees;
    degrees += degrees > 0 ? -180 : 180;
  }
  return best;
}

}  // namespace penstock
