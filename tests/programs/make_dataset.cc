// penstock_make_dataset OUT ...: writes a synthetic dataset for the tests in Python.

#include <CLI/CLI.hpp>
#include <iostream>

#include "tests/support/synthetic_dataset.h"

int main(int argc, char** argv) {
  CLI::App app("Writes a synthetic dataset");
  std::string out;
  std::vector<int64_t> scan_shape{5, 6};
  std::vector<int64_t> signal_shape{16, 12};
  std::vector<int64_t> missing;
  std::string element_type = "uint16";
  penstock::testing_support::SyntheticOptions options;
  app.add_option("out", out)->required();
  app.add_option("--scan-shape", scan_shape, "rows,columns, or one number: a series")
      ->delimiter(',')
      ->expected(1, 2);
  app.add_option("--sig-shape", signal_shape)->delimiter(',')->expected(2);
  app.add_option("--missing", missing, "frame numbers")->delimiter(',');
  std::vector<size_t> marked;
  app.add_option("--marked", marked, "pixel numbers that the pixel_mask marks")->delimiter(',');
  app.add_option("--dtype", element_type);
  app.add_option("--block-bytes", options.block_bytes);
  std::string compression = "none";
  app.add_option("--compression", compression);
  app.add_flag("--calibrated", options.calibrated);
  app.add_flag("--complete", options.complete);
  CLI11_PARSE(app, argc, argv);

  const auto type = penstock::ParseElementType(element_type);
  if (!type.ok()) {
    std::cerr << type.error().ToString() << "\n";
    return 2;
  }
  const auto parsed = penstock::ParseCompression(compression);
  if (!parsed.ok()) {
    std::cerr << parsed.error().ToString() << "\n";
    return 2;
  }
  options.compression = *parsed;
  options.shape = {.scan = {.rows = scan_shape.size() == 2 ? scan_shape[0] : 1,
                            .columns = scan_shape.back(),
                            .is_series = scan_shape.size() == 1},
                   .signal = {.rows = signal_shape[0], .columns = signal_shape[1]},
                   .element_type = *type};
  if (!marked.empty()) {
    options.pixel_mask.resize(static_cast<size_t>(options.shape.signal.pixel_count()));
    for (const size_t pixel : marked) options.pixel_mask.at(pixel) = 2;  // dead
  }
  options.missing.insert(missing.begin(), missing.end());
  options.name = std::filesystem::path(out).filename().string();
  const penstock::Status status = penstock::testing_support::WriteSyntheticDataset(out, options);
  if (status.ok()) return 0;
  std::cerr << status.error().ToString() << "\n";
  return 1;
}
