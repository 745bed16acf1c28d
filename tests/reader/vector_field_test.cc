// Fields of known potentials: turned, flipped, and integrated back.

#include "penstock/reader/vector_field.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace penstock {
namespace {

// Gaussian wells, narrow against their distances, like atoms; the field points into them.
struct Atoms {
  int64_t rows = 48, columns = 64;
  std::vector<std::pair<double, double>> places = {{11, 14}, {30, 22}, {20, 45}, {37, 52}};

  double Potential(double row, double column) const {
    double sum = 0;
    for (const auto& [r, c] : places) {
      sum += 3 * std::exp(-(std::pow(row - r, 2) + std::pow(column - c, 2)) / (2 * 9));
    }
    return sum;
  }
  // Its gradient: up the hill, towards the atoms.
  VectorField Field() const {
    VectorField field{rows, columns, {}, {}};
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        double y = 0, x = 0;
        for (const auto& [r, c] : places) {
          const double dy = static_cast<double>(row) - r;
          const double dx = static_cast<double>(column) - c;
          const double value = 3 * std::exp(-(dy * dy + dx * dx) / (2 * 9));
          y -= value * dy / 9;
          x -= value * dx / 9;
        }
        field.along_rows.push_back(y);
        field.along_columns.push_back(x);
      }
    }
    return field;
  }
};

// What a detector shows that is flipped and turned the other way: Correct(..., correction) undoes
// it.
VectorField Seen(const VectorField& field, const FieldCorrection& correction) {
  VectorField turned = Correct(field, {-correction.rotation_degrees, false});
  return correction.flip ? Correct(turned, {0, true}) : turned;
}

TEST(VectorFieldTest, CorrectionTurnsFromColumnsTowardsRows) {
  const VectorField field{1, 1, {2}, {3}};
  const VectorField turned = Correct(field, {90, false});
  EXPECT_NEAR(turned.along_columns[0], -2, 1e-12);
  EXPECT_NEAR(turned.along_rows[0], 3, 1e-12);
  const VectorField flipped = Correct(field, {90, true});
  EXPECT_NEAR(flipped.along_columns[0], 2, 1e-12);
  EXPECT_NEAR(flipped.along_rows[0], 3, 1e-12);
}

TEST(VectorFieldTest, TheTurnOfADetectorIsFound) {
  const VectorField field = Atoms().Field();
  for (const bool flip : {false, true}) {
    for (const double degrees : {0.0, 17.0, 90.0, 137.5, -60.0, -170.0, 180.0}) {
      SCOPED_TRACE(testing::Message() << degrees << (flip ? ", flipped" : ""));
      const auto found = EstimateCorrection(Seen(field, {degrees, flip}));
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(found->correction.flip, flip);
      const double off = std::remainder(found->correction.rotation_degrees - degrees, 360);
      EXPECT_NEAR(off, 0, 0.05);
      EXPECT_LT(found->remaining_curl, 1e-3);
    }
  }
}

TEST(VectorFieldTest, CurlAndDivergenceOfKnownFields) {
  VectorField whirl{4, 5, {}, {}};
  for (int row = 0; row < 4; ++row) {
    for (int column = 0; column < 5; ++column) {
      whirl.along_rows.push_back(2.0 * column + row);
      whirl.along_columns.push_back(-3.0 * row + 0.5 * column);
    }
  }
  const ResultArray curl = Curl(whirl);
  const ResultArray divergence = Divergence(whirl);
  for (const double value : curl.doubles()) EXPECT_NEAR(value, 5, 1e-12);
  for (const double value : divergence.doubles()) EXPECT_NEAR(value, 1.5, 1e-12);
}

TEST(VectorFieldTest, IntegrationGivesThePotentialBack) {
  const Atoms atoms;
  const ResultArray found = Integrate(atoms.Field());
  ASSERT_EQ(found.shape, (std::vector<int64_t>{48, 64}));
  double mean = 0;
  for (int64_t i = 0; i < 48 * 64; ++i) {
    mean += atoms.Potential(static_cast<double>(i / 64), static_cast<double>(i % 64)) / (48 * 64);
  }
  for (int64_t i = 0; i < 48 * 64; ++i) {
    const double expected =
        atoms.Potential(static_cast<double>(i / 64), static_cast<double>(i % 64)) - mean;
    ASSERT_NEAR(found.doubles()[static_cast<size_t>(i)], expected, 2e-3) << i;
  }
}

// A slope has different values at opposite edges; without the mirror it would become a saw.
TEST(VectorFieldTest, ASlopeStaysASlope) {
  VectorField field{32, 40, std::vector<double>(32 * 40, 0.25), std::vector<double>(32 * 40, -0.5)};
  const ResultArray found = Integrate(field);
  const auto at = [&](size_t row, size_t column) { return found.doubles()[row * 40 + column]; };
  EXPECT_NEAR(at(24, 20) - at(8, 20), 16 * 0.25, 0.05);
  EXPECT_NEAR(at(16, 30) - at(16, 10), 20 * -0.5, 0.05);
}

TEST(VectorFieldTest, LostFramesAreNoDeflection) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const ResultArray rows{{1, 4}, std::vector<double>{1, nan, 3, 2}};
  const ResultArray columns{{1, 4}, std::vector<double>{5, nan, 5, 5}};
  const auto field = FieldOfCentres(rows, columns);
  ASSERT_TRUE(field.ok());
  EXPECT_EQ(field->along_rows, (std::vector<double>{-1, 0, 1, 0}));
  EXPECT_EQ(field->along_columns, (std::vector<double>{0, 0, 0, 0}));
  const ResultArray potential = Integrate(*field);
  for (const double value : potential.doubles()) EXPECT_TRUE(std::isfinite(value));
}

TEST(VectorFieldTest, SaysWhatIsNoField) {
  EXPECT_FALSE(FieldOfCentres({{4}, std::vector<double>(4)}, {{4}, std::vector<double>(4)}).ok());
  EXPECT_FALSE(
      FieldOfCentres({{2, 2}, std::vector<double>(4)}, {{1, 4}, std::vector<double>(4)}).ok());
  EXPECT_FALSE(EstimateCorrection({2, 9, std::vector<double>(18), std::vector<double>(18)}).ok());
}

}  // namespace
}  // namespace penstock
