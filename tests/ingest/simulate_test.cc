// The simulator: bytes, statistics, and whether its pictures show what the specimen holds.

#include "penstock/ingest/simulate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "ingest/simulate/random.h"
#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {
namespace {

SimulationOptions SmallScan() {
  SimulationOptions options;
  options.scan = {24, 32, false};
  options.signal = {64, 64};
  options.mean_counts = 4;
  options.lattice_period = 6;
  return options;
}

Result<SimulationSummary> Simulate(const std::filesystem::path& path,
                                   const SimulationOptions& options, std::stop_token stop = {}) {
  SilentProgress progress;
  return SimulateMib(path, options, progress, std::move(stop));
}

std::string FileText(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Frames as numbers, decoded by the MIB reader.
struct Scan {
  SourceDescription description;
  std::vector<uint16_t> pixels;

  uint16_t At(int64_t frame, int64_t y, int64_t x) const {
    return pixels[(frame * description.signal.rows + y) * description.signal.columns + x];
  }
  // Sum over |pixel - centre| in [inner, outer), and the centre of mass about the centre.
  double Ring(int64_t frame, double inner, double outer) const {
    double sum = 0;
    ForEach(frame, [&](double count, double y, double x) {
      const double radius = std::hypot(y, x);
      if (radius >= inner && radius < outer) sum += count;
    });
    return sum;
  }
  std::pair<double, double> CentreOfMass(int64_t frame) const {
    double sum = 0;
    double sum_y = 0;
    double sum_x = 0;
    ForEach(frame, [&](double count, double y, double x) {
      sum += count;
      sum_y += count * y;
      sum_x += count * x;
    });
    return {sum_y / sum, sum_x / sum};
  }
  template <typename Visit>
  void ForEach(int64_t frame, Visit visit) const {
    const auto [rows, columns] = description.signal;
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        visit(At(frame, y, x), y + 0.5 - rows / 2.0, x + 0.5 - columns / 2.0);
      }
    }
  }
};

Scan ReadScan(const std::filesystem::path& path) {
  const auto source = OpenMib(path);
  if (!source.ok()) {
    ADD_FAILURE() << source.error().ToString();
    return {};
  }
  TestReport report;
  const auto bytes = DecodeAll(**source, report);
  if (!bytes.ok()) {
    ADD_FAILURE() << bytes.error().ToString();
    return {};
  }
  Scan scan{(*source)->description(), std::vector<uint16_t>(bytes->size() / 2)};
  std::memcpy(scan.pixels.data(), bytes->data(), bytes->size());
  return scan;
}

TEST(Simulate, BytesDependOnTheSeedAndNotOnTheThreads) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  options.threads = 1;
  ASSERT_TRUE(Simulate(directory / "one.mib", options).ok());
  options.threads = 5;
  ASSERT_TRUE(Simulate(directory / "five.mib", options).ok());
  options.seed = 2;
  ASSERT_TRUE(Simulate(directory / "other.mib", options).ok());
  const std::string one = FileText(directory / "one.mib");
  EXPECT_EQ(one.size(), size_t{24 * 32} * (384 + 64 * 64 * 2));
  EXPECT_TRUE(one == FileText(directory / "five.mib"));
  EXPECT_FALSE(one == FileText(directory / "other.mib"));
}

TEST(Simulate, TheMibReaderUnderstandsIt) {
  const TestDirectory directory;
  ASSERT_TRUE(Simulate(directory / "scan.mib", SmallScan()).ok());
  const Scan scan = ReadScan(directory / "scan.mib");
  EXPECT_TRUE(scan.description.anomalies.empty()) << Listed(scan.description.anomalies);
  EXPECT_EQ(scan.description.frame_count, 24 * 32);
  EXPECT_EQ(scan.description.signal, (SignalShape{64, 64}));
  EXPECT_EQ(scan.description.element_type, ElementType::kUint16);
  ASSERT_FALSE(scan.description.scan_shapes.empty());
  EXPECT_EQ(scan.description.scan_shapes[0].shape, (ScanShape{24, 32, false}));
  EXPECT_NE(scan.description.scan_shapes[0].evidence.find("ScanX"), std::string::npos);
}

TEST(Simulate, CountsHaveTheMeanAndTheVarianceOfPoisson) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  const auto summary = Simulate(directory / "scan.mib", options);
  ASSERT_TRUE(summary.ok()) << summary.error().ToString();
  const double expected = 4.0 * 64 * 64 * 24 * 32;
  EXPECT_NEAR(static_cast<double>(summary->electrons), expected, 5 * std::sqrt(expected));
  EXPECT_EQ(summary->clipped_pixels, 0U);
  const Scan scan = ReadScan(directory / "scan.mib");
  double total = 0;
  for (const uint16_t pixel : scan.pixels) total += pixel;
  EXPECT_EQ(total, static_cast<double>(summary->electrons));

  // In vacuum (the first three columns) every frame has the same expectation.
  double sum = 0;
  double squares = 0;
  int frames = 0;
  for (int64_t row = 0; row < 24; ++row) {
    for (int64_t column = 0; column < 3; ++column, ++frames) {
      const double count = scan.At(row * 32 + column, 32, 32);
      sum += count;
      squares += count * count;
    }
  }
  const double mean = sum / frames;
  const double variance = squares / frames - mean * mean;
  // 4 per pixel, all of it in a disk of radius 0.07 * 64.
  EXPECT_NEAR(mean, 4.0 * 64 * 64 / (M_PI * 4.48 * 4.48), 10);
  EXPECT_NEAR(variance / mean, 1.0, 0.6);
}

TEST(Simulate, VirtualImagesShowTheSpecimen) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  ASSERT_TRUE(Simulate(directory / "scan.mib", options).ok());
  const Scan scan = ReadScan(directory / "scan.mib");
  const double dose = 4.0 * 64 * 64;
  const auto bright = [&](int64_t row, int64_t column) {
    return scan.Ring(row * 32 + column, 0, 5.5) / dose;
  };
  const auto dark = [&](int64_t row, int64_t column) {
    return scan.Ring(row * 32 + column, 15, 32) / dose;
  };
  EXPECT_NEAR(bright(3, 1), 1.0, 0.05);   // vacuum
  EXPECT_NEAR(bright(3, 4), 0.70, 0.05);  // amorphous
  EXPECT_NEAR(dark(3, 1), 0.0, 0.001);
  // Atomic columns: in the left grain bright field varies between 0.35 and 0.6, plus a little of
  // the diffuse background, and dark field goes the other way.
  double low = 1;
  double high = 0;
  double correlation = 0;
  double mean_bright = 0;
  double mean_dark = 0;
  int count = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t row = 0; row < 24; ++row) {
      for (int64_t column = 7; column < 14; ++column) {
        const double b = bright(row, column);
        const double d = dark(row, column);
        if (pass == 0) {
          low = std::min(low, b);
          high = std::max(high, b);
          mean_bright += b;
          mean_dark += d;
          ++count;
        } else {
          correlation += (b - mean_bright / count) * (d - mean_dark / count);
        }
      }
    }
  }
  EXPECT_LT(low, 0.44);
  EXPECT_GT(high, 0.56);
  EXPECT_LT(correlation, 0);
}

// Shifts of 0.012 * 64 pixels around the centre of the region at (0.65, 0.78) of the scan.
TEST(Simulate, CentreOfMassShowsTheVortex) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  options.scan = {41, 41, false};
  options.mean_counts = 20;
  ASSERT_TRUE(Simulate(directory / "scan.mib", options).ok());
  const Scan scan = ReadScan(directory / "scan.mib");
  const double shift = 0.012 * 64;
  const auto near = [&](int64_t row, int64_t column, double y, double x) {
    const auto [mass_y, mass_x] = scan.CentreOfMass(row * 41 + column);
    EXPECT_NEAR(mass_y, y, 0.15) << row << ", " << column;
    EXPECT_NEAR(mass_x, x, 0.15) << row << ", " << column;
  };
  near(26, 35, shift, 0);   // right of the centre
  near(26, 28, -shift, 0);  // left of it
  near(30, 31, 0, -shift);  // below
  near(22, 31, 0, shift);   // above
  near(5, 30, 0, 0);        // the same grain, outside
  near(20, 2, 0, 0);        // vacuum
}

TEST(Simulate, QuadAndOtherDepths) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  options.scan = {2, 3, false};
  options.signal = {512, 512};
  options.mean_counts = 0.5;
  ASSERT_TRUE(Simulate(directory / "quad.mib", options).ok());
  EXPECT_EQ(std::filesystem::file_size(directory / "quad.mib"), 6U * (768 + 512 * 512 * 2));
  EXPECT_TRUE(ReadScan(directory / "quad.mib").description.anomalies.empty());
  options.signal = {64, 96};
  options.mean_counts = 0.2;  // about 20 in the vacuum's disk
  for (const auto& [depth, type] :
       {std::pair{1, ElementType::kUint8}, std::pair{6, ElementType::kUint8},
        std::pair{24, ElementType::kUint32}}) {
    options.bit_depth = depth;
    options.replace = true;
    const auto summary = Simulate(directory / "deep.mib", options);
    ASSERT_TRUE(summary.ok()) << summary.error().ToString();
    EXPECT_EQ(summary->clipped_pixels > 0, depth == 1);
    const auto source = OpenMib(directory / "deep.mib");
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->description().element_type, type);
    EXPECT_EQ((*source)->description().signal, (SignalShape{64, 96}));
  }
}

TEST(Simulate, RefusesAndLeavesNothingBehind) {
  const TestDirectory directory;
  SimulationOptions options = SmallScan();
  const auto refused = [&](auto change) {
    SimulationOptions changed = SmallScan();
    change(changed);
    const auto summary = Simulate(directory / "scan.mib", changed);
    ASSERT_FALSE(summary.ok());
    EXPECT_EQ(summary.error().kind(), ErrorKind::kInvalidArgument) << summary.error().ToString();
  };
  refused([](SimulationOptions& o) { o.mean_counts = -1; });
  refused([](SimulationOptions& o) { o.mean_counts = std::nan(""); });
  refused([](SimulationOptions& o) { o.mean_counts = 501; });
  refused([](SimulationOptions& o) { o.scan = {0, 4, false}; });
  refused([](SimulationOptions& o) { o.signal = {8, 64}; });
  refused([](SimulationOptions& o) { o.bit_depth = 8; });
  refused([](SimulationOptions& o) { o.lattice_period = 0; });

  std::stop_source stop;
  stop.request_stop();
  const auto cancelled = Simulate(directory / "scan.mib", options, stop.get_token());
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().kind(), ErrorKind::kCancelled);
  for (const char* name : {"scan.mib", "scan.mib.part", "scan.hdr"}) {
    EXPECT_FALSE(std::filesystem::exists(directory / name)) << name;
  }

  ASSERT_TRUE(Simulate(directory / "scan.mib", options).ok());
  const auto again = Simulate(directory / "scan.mib", options);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind(), ErrorKind::kAlreadyExists);
}

// Mean and variance of both methods against the distribution's own.
TEST(SimulateRandom, PoissonMoments) {
  for (const double mean : {0.3, 5.0, 11.9, 12.1, 100.0, 30000.0}) {
    simulate::Random random(7, 1);
    constexpr int kDraws = 20000;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const auto draw = static_cast<double>(random.Poisson(mean));
      sum += draw - mean;
      squares += (draw - mean) * (draw - mean);
    }
    EXPECT_NEAR(sum / kDraws, 0, 5 * std::sqrt(mean / kDraws)) << mean;
    // The variance of the sample variance is (mean + 2 mean^2) / n.
    EXPECT_NEAR(squares / kDraws, mean, 5 * std::sqrt((mean + 2 * mean * mean) / kDraws)) << mean;
  }
}

}  // namespace
}  // namespace penstock::ingest
