// penstock simulate: writes a 4D-STEM scan as a MIB file.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "penstock/ingest/simulate.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

struct SimulateArguments {
  std::string output;
  std::string scan_shape = "256,256";
  std::string signal_shape = "256,256";
  std::string lattice = "square";
  ingest::SimulationOptions options;
  bool json = false;
};

Status Run(SimulateArguments& arguments, const CommandContext& context) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto scan, ParsePair(arguments.scan_shape));
  PENSTOCK_ASSIGN_OR_RETURN(const auto signal, ParsePair(arguments.signal_shape));
  arguments.options.scan = {scan.first, scan.second, false};
  arguments.options.signal = {signal.first, signal.second};
  arguments.options.lattice = arguments.lattice == "hexagonal"
                                  ? ingest::SimulatedLattice::kHexagonal
                                  : ingest::SimulatedLattice::kSquare;
  const auto start = std::chrono::steady_clock::now();
  const auto progress = MakeProgressDisplay(ChooseProgressStyle(arguments.json));
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto summary,
      ingest::SimulateMib(arguments.output, arguments.options, *progress, context.stop));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double mean = static_cast<double>(summary.electrons) /
                      static_cast<double>(summary.frames * signal.first * signal.second);
  if (arguments.json) {
    fmt::print(
        "{{\"event\":\"result\",\"frames\":{},\"bytes\":{},\"electrons\":{},"
        "\"clipped_pixels\":{},\"seconds\":{:.3f}}}\n",
        summary.frames, summary.bytes, summary.electrons, summary.clipped_pixels, seconds);
    return Status::Ok();
  }
  fmt::print("{}: {} frames of {} x {}, {}, {:.4g} electrons per pixel, {} ({})\n",
             arguments.output, summary.frames, signal.first, signal.second,
             FormatBytes(summary.bytes), mean, FormatDuration(seconds),
             FormatRate(summary.bytes, seconds));
  if (summary.clipped_pixels > 0) {
    fmt::print("{} pixels are clipped at {} bits\n", summary.clipped_pixels,
               arguments.options.bit_depth);
  }
  return Status::Ok();
}

void AddSimulate(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<SimulateArguments>();
  CLI::App* command = app.add_subcommand("simulate", "write a simulated 4D-STEM scan (MIB)");
  command->add_option("OUT.mib", arguments->output, "File to write; its .hdr goes beside it")
      ->required();
  command->add_option("--scan-shape", arguments->scan_shape, "Scan positions: Y,X")
      ->capture_default_str();
  command->add_option("--sig-shape", arguments->signal_shape, "Detector pixels: Y,X")
      ->capture_default_str();
  command->add_option("--counts", arguments->options.mean_counts, "Mean electrons per pixel")
      ->capture_default_str();
  command->add_option("--seed", arguments->options.seed, "Equal seeds give equal files")
      ->capture_default_str();
  command->add_option("--bit-depth", arguments->options.bit_depth, "Counter depth: 1, 6, 12 or 24")
      ->capture_default_str();
  command->add_option("--lattice", arguments->lattice, "Lattice of the crystal")
      ->check(CLI::IsMember({"square", "hexagonal"}))
      ->capture_default_str();
  command
      ->add_option("--lattice-period", arguments->options.lattice_period,
                   "Scan positions per atomic column")
      ->capture_default_str();
  command->add_option("--jobs", arguments->options.threads, "Threads; 0: one per core")
      ->capture_default_str();
  command->add_flag("--replace", arguments->options.replace, "Replace an existing file");
  command->add_flag("--json", arguments->json, "Progress and result as JSON lines");
  command->callback([arguments, &context] {
    if (const Status status = Run(*arguments, context); !status.ok()) {
      context.exit_status = ReportError(status.error());
    }
  });
}

const CommandRegistration kRegistration(&AddSimulate);

}  // namespace

}  // namespace penstock::tools
