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
#include "tools/penstock/picture.h"

namespace penstock::tools {

namespace {

struct PickOptions {
  std::string dataset;
  std::vector<int64_t> frame;
  std::string out;
  bool no_verify = false;
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

Status Pick(const PickOptions& options) {
  ReadOptions read_options;
  read_options.verify = !options.no_verify;
  PENSTOCK_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(options.dataset, read_options));
  const DatasetShape& shape = reader.shape();
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t frame, FrameNumber(shape.scan, options.frame));
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, reader.ReadFrame(frame));
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
  if (values.empty()) return Status::Ok();  // complex frames have no picture
  path.replace_extension(".png");
  PENSTOCK_RETURN_IF_ERROR(
      WritePicture(path, {shape.signal.rows, shape.signal.columns}, values,
                   {fmt::format("frame {}", frame), DisplayScale::kLogarithmic}));
  fmt::print("{}\n", path.string());
  return Status::Ok();
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
  command->callback([options, &context] {
    const Status status = Pick(*options);
    if (!status.ok()) context.exit_status = ReportError(status.error());
  });
}

const CommandRegistration kPick(&AddPick);

}  // namespace

}  // namespace penstock::tools
