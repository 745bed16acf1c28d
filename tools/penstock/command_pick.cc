// penstock pick: one frame as .npy and as a picture.

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <type_traits>
#include <vector>

#include "penstock/base/npy.h"
#include "penstock/reader/reader.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/pass_frames.h"
#include "tools/penstock/pass_job.h"
#include "tools/penstock/picture.h"

namespace penstock::tools {

namespace {

struct PickOptions {
  std::string dataset;
  std::vector<int64_t> frame;
  std::string out;
  bool no_verify = false;
  bool no_ingest = false;
  IngestArguments acquisition;
};

Result<int64_t> FrameNumber(const ScanShape& scan, const std::vector<int64_t>& position) {
  if (position.size() == 1) return position[0];
  if (position[0] < 0 || position[0] >= scan.rows || position[1] < 0 ||
      position[1] >= scan.columns) {
    return Error::InvalidArgument(
               fmt::format("there is no frame at {},{}", position[0], position[1]))
        .Expected(fmt::format("a position in a scan of {} x {}", scan.rows, scan.columns));
  }
  return position[0] * scan.columns + position[1];
}

Result<PassFrames> OpenFrames(const PickOptions& options) {
  if (options.no_ingest) {
    return PassFrames::OfVendorFile(options.dataset, options.acquisition, /*use_pixel_mask=*/false);
  }
  ReadOptions read_options;
  read_options.verify = !options.no_verify;
  return PassFrames::OfDataset(options.dataset, read_options);
}

// True where a vendor's files have anomalies.
Result<bool> Pick(const PickOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(const PassFrames frames, OpenFrames(options));
  const DatasetShape& shape = frames.shape();
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t frame, FrameNumber(shape.scan, options.frame));
  auto read = frames.ReadFrame(frame);
  frames.PrintFindings();
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, std::move(read));
  const bool has_anomalies = !frames.Anomalies().empty();
  const std::vector<int64_t> axes{shape.signal.rows, shape.signal.columns};
  std::filesystem::path path = options.out;
  if (path.extension() != ".npy") path += ".npy";
  PENSTOCK_RETURN_IF_ERROR(WriteNpy(path, shape.element_type, axes, bytes));
  fmt::print("{}\n", path.string());

  std::vector<double> values;
  VisitElementType(shape.element_type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T>) {
      values.resize(bytes.size() / sizeof(T));
      for (size_t p = 0; p < values.size(); ++p) {
        T value{};
        std::memcpy(&value, bytes.data() + p * sizeof(T), sizeof(T));
        values[p] = static_cast<double>(value);
      }
    }
  });
  if (values.empty()) return has_anomalies;  // complex frames have no picture
  path.replace_extension(".png");
  PENSTOCK_RETURN_IF_ERROR(
      WritePicture(path, {shape.signal.rows, shape.signal.columns}, values,
                   {fmt::format("frame {}", frame), DisplayScale::kLogarithmic}));
  fmt::print("{}\n", path.string());
  return has_anomalies;
}

void AddPick(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("pick", "one frame as .npy and picture");
  auto options = std::make_shared<PickOptions>();
  command->add_option("dataset", options->dataset)->required();
  command->add_option("--frame", options->frame, "ROW,COLUMN in the scan, or the frame's number")
      ->delimiter(',')
      ->expected(1, 2)
      ->required();
  command->add_option("--out", options->out, "NAME or NAME.npy")->required();
  command->add_flag("--no-verify", options->no_verify, "don't hold the frame against its checksum");
  AddVendorOptions(*command, options->no_ingest, options->acquisition);
  command->callback([options, &context] { context.exit_status = PassExitStatus(Pick(*options)); });
}

const CommandRegistration kPick(&AddPick);

}  // namespace

}  // namespace penstock::tools
