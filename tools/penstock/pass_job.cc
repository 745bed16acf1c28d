#include "tools/penstock/pass_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "penstock/reader/device.h"
#include "penstock/reader/region.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

Result<FrameCorrection> LoadCorrection(const PassJobOptions& options, const PassFrames& frames) {
  const SignalShape signal = frames.shape().signal;
  FrameCorrection correction;
  if (!options.dark.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(correction.dark, LoadPixelValues(options.dark, signal));
  }
  if (!options.gain.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(correction.gain, LoadPixelValues(options.gain, signal));
  }
  if (options.dead == "pixel_mask") {
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<uint32_t> mask, frames.ReadPixelMask());
    for (const uint32_t bits : mask) correction.dead.push_back(bits != 0 ? 1 : 0);
  } else if (!options.dead.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto flags, LoadPixelValues(options.dead, signal));
    for (const double flag : flags) correction.dead.push_back(flag != 0 ? 1 : 0);
  }
  return correction;
}

Result<FrameViewOptions> LoadView(const PassJobOptions& options, const PassFrames& frames) {
  FrameViewOptions view;
  PENSTOCK_ASSIGN_OR_RETURN(view.correction, LoadCorrection(options, frames));
  if (!options.shifts.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(view.shifts, LoadShifts(options.shifts, frames.shape().scan));
  }
  if (!options.crop.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(view.crop, ParseWindow(options.crop, frames.shape().signal));
  }
  view.bin = options.bin;
  return view;
}

// Null for processors alone.
Result<std::shared_ptr<Device>> ChooseDevice(const std::string& text) {
  if (text == "cpu") return std::shared_ptr<Device>();
  if (text == "cuda") return OpenCudaDevice();
  if (text != "auto") {
    return Error::InvalidArgument("unknown device").Expected("auto, cpu or cuda").Found(text);
  }
  auto device = OpenCudaDevice();
  return device.ok() ? *std::move(device) : std::shared_ptr<Device>();
}

}  // namespace

bool NamesArrayFile(const std::string& text) {
  return text.ends_with(".npy") || text.ends_with(".npz");
}

void AddPassOptions(CLI::App& command, PassJobOptions& options, bool out_is_required) {
  command.add_option("dataset", options.dataset, "a dataset directory, or one on a penstock mount")
      ->required();
  command
      .add_option(
          "--out", options.out,
          "NAME.nxs or NAME.zarr for all results in one file, NAME.npy for a single one, or "
          "a folder, or the beginning of all file names")
      ->required(out_is_required);
  command.add_option("--threads", options.threads, "workers; default: one per processor")
      ->check(CLI::Range(1, 1024));
  command.add_option("--backend", options.backend, "automatic, mmap, direct or pread");
  command
      .add_option("--device", options.device,
                  "cpu, cuda: a CUDA device takes part, or auto: if there is one")
      ->capture_default_str();
  command.add_flag("--no-verify", options.no_verify,
                   "don't hold the blocks against their checksums");
  command.add_option("--region", options.region,
                     "frames to look at: ROWS,COLUMNS of the scan (of a series: FRAMES) as in "
                     "Python, 10:20,::2, or FILE.npy with a mask or with rows and columns (n, 2)");
  command.add_option("--dark", options.dark,
                     "FILE.npy: what is subtracted from every frame, a number per pixel");
  command.add_option("--gain", options.gain,
                     "FILE.npy: by what it is multiplied then, a number per pixel");
  command.add_option("--dead", options.dead,
                     "FILE.npy: pixels other than 0 are interpolated from those around them; or "
                     "pixel_mask: those that the dataset marks");
  command.add_option("--shifts", options.shifts,
                     "FILE.npy: rows and columns by which every frame is displaced (descan), "
                     "(scan rows, scan columns, 2); it is moved back");
  command.add_option("--crop", options.crop,
                     "ROW0:ROW1,COLUMN0:COLUMN1 as in Python: the part of the frames that is seen");
  command.add_option("--bin", options.bin, "sums of N x N pixels of it are")
      ->check(CLI::Range(1, 256));
  command.add_flag("--all-pixels", options.all_pixels,
                   "use also the pixels that the dataset's pixel_mask marks");
  command
      .add_option("--deadline", options.deadline_seconds,
                  "begin nothing more after so many seconds, and write the partial results")
      ->check(CLI::PositiveNumber);
  command.add_flag("--fast-order", options.fast_order,
                   "take frames in memory first even where float results then differ from run to "
                   "run in their last digits");
  command.add_flag("--json", options.json, "progress and summary as JSON lines");
  command.add_flag("--no-pictures", options.no_pictures, "write no pictures");
}

void AddVendorOptions(CLI::App& command, bool& no_ingest, IngestArguments& acquisition) {
  CLI::Option* const flag =
      command.add_flag("--no-ingest", no_ingest,
                       "DATASET is a vendor's file: its frames are decoded on the way to the "
                       "operations and written nowhere");
  CLI::Option_group* const group = command.add_option_group("Vendor files, with --no-ingest");
  AddAcquisitionOptions(*group, acquisition);
  group->needs(flag);
}

void AddVendorOptions(CLI::App& command, PassJobOptions& options) {
  AddVendorOptions(command, options.no_ingest, options.acquisition);
}

int PassExitStatus(const Result<bool>& anomalies) {
  if (!anomalies.ok()) return ReportError(anomalies.error());
  return *anomalies ? kExitAnomalies : kExitDone;
}

struct PassJob::State {
  PassJobOptions options;
  std::optional<PassFrames> frames;
  PassOptions pass;
  SignalShape signal;
  std::unique_ptr<ProgressSink> progress;
  uint64_t reported = 0;
  Watch watch;
};

PassJob::PassJob(std::unique_ptr<State> state) : state_(std::move(state)) {}
PassJob::~PassJob() = default;
PassJob::PassJob(PassJob&&) noexcept = default;
const PassFrames& PassJob::frames() const { return *state_->frames; }
const PassOptions& PassJob::pass() const { return state_->pass; }
SignalShape PassJob::signal() const { return state_->signal; }

std::optional<ElementType> PassJob::stored_type() const {
  if (!state_->pass.view.is_plain()) return std::nullopt;
  return frames().shape().element_type;
}

Result<PassJob> PassJob::Open(const PassJobOptions& options, std::stop_token stop) {
  auto state = std::make_unique<State>();
  state->options = options;
  ReadOptions read_options;
  PENSTOCK_ASSIGN_OR_RETURN(read_options.backend, ParseBackend(options.backend));
  read_options.verify = !options.no_verify;
  read_options.use_pixel_mask = !options.all_pixels;
  auto opened = options.no_ingest ? PassFrames::OfVendorFile(options.dataset, options.acquisition,
                                                             read_options.use_pixel_mask)
                                  : PassFrames::OfDataset(options.dataset, read_options);
  if (!opened.ok()) return std::move(opened).error();
  const PassFrames& frames = state->frames.emplace(std::move(opened).value());
  PassOptions& pass = state->pass;
  PENSTOCK_ASSIGN_OR_RETURN(pass.device, ChooseDevice(options.device));
  if (!options.region.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(pass.selection, ParseRegion(options.region, frames.shape().scan));
  }
  PENSTOCK_ASSIGN_OR_RETURN(pass.view, LoadView(options, frames));
  PENSTOCK_ASSIGN_OR_RETURN(state->signal, SeenSignal(frames.shape().signal, pass.view));
  pass.threads = options.threads;
  pass.fast_order = options.fast_order;
  if (options.deadline_seconds > 0) {
    pass.deadline = std::chrono::steady_clock::now() +
                    std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                        std::chrono::duration<double>(options.deadline_seconds));
  }
  pass.stop = std::move(stop);
  pass.on_partition = [mine = state.get()](const PassProgress& now) {
    if (now.bytes_done < mine->reported) mine->reported = 0;  // another pass
    if (mine->progress) mine->progress->Advance(now.bytes_done - mine->reported);
    mine->reported = now.bytes_done;
    if (mine->watch) mine->watch(now);
  };
  return PassJob(std::move(state));
}

void PassJob::BeginProgress(const std::string& name, uint64_t passes, bool silent, Watch watch) {
  const std::vector<uint8_t>& selection = state_->pass.selection;
  const auto count = selection.empty() ? frames().shape().frame_count()
                                       : std::count(selection.begin(), selection.end(), 1);
  state_->watch = std::move(watch);
  if (silent) {
    state_->progress = std::make_unique<SilentProgress>();
  } else {
    state_->progress = MakeProgressDisplay(ChooseProgressStyle(state_->options.json));
  }
  state_->progress->Begin(name,
                          passes * static_cast<uint64_t>(count) * frames().shape().frame_bytes());
}

void PassJob::EndProgress() {
  if (state_->progress) state_->progress->End();
}

Result<Provenance> PassJob::MakeProvenance(nlohmann::ordered_json parameters) const {
  const PassJobOptions& options = state_->options;
  Provenance provenance = frames().MakeProvenance(options.command_line);
  if (options.no_ingest) AddToParameters(options.acquisition, parameters);
  const auto add = [&](const char* name, const std::string& text) -> Status {
    if (text.empty()) return Status::Ok();
    parameters[name] = text;
    return NamesArrayFile(text) ? AddInput(provenance, name, text) : Status::Ok();
  };
  PENSTOCK_RETURN_IF_ERROR(add("region", options.region));
  PENSTOCK_RETURN_IF_ERROR(add("dark", options.dark));
  PENSTOCK_RETURN_IF_ERROR(add("gain", options.gain));
  PENSTOCK_RETURN_IF_ERROR(add("dead", options.dead));
  PENSTOCK_RETURN_IF_ERROR(add("shifts", options.shifts));
  PENSTOCK_RETURN_IF_ERROR(add("crop", options.crop));
  if (options.bin != 1) parameters["bin"] = options.bin;
  if (options.all_pixels) parameters["all_pixels"] = true;
  if (options.fast_order) parameters["fast_order"] = true;
  if (state_->pass.device) parameters["device"] = NameOf(*state_->pass.device);
  provenance.parameters = std::move(parameters);
  return provenance;
}

void PassJob::PrintSummary(const std::string& command, const PassSummary& summary,
                           const Facts& facts, const std::vector<std::string>& written) const {
  if (state_->options.json) {
    const double gibibytes = static_cast<double>(summary.bytes) / (1 << 30);
    nlohmann::ordered_json line = {
        {"event", "result"},
        {"command", command},
        {"dataset", state_->options.dataset},
        {"frames", summary.frames},
        {"frames_invalid", summary.frames_invalid},
        {"complete", summary.complete},
        {"bytes", summary.bytes},
        {"seconds", summary.seconds},
        {"gib_per_second", summary.seconds > 0 ? gibibytes / summary.seconds : 0.0},
        {"threads", summary.threads},
        {"partitions",
         {{"total", summary.partitions},
          {"mapped", summary.partitions_mapped},
          {"direct", summary.partitions_direct},
          {"pread", summary.partitions_pread},
          {"leased", summary.partitions_leased},
          {"on_device", summary.partitions_on_device},
          {"decoded", summary.partitions_decoded}}},
        {"extents_verified", summary.extents_verified},
        {"outputs", written}};
    if (!summary.device_note.empty()) line["device_note"] = summary.device_note;
    frames().AddFindings(line);
    for (const auto& [name, value] : facts) line["facts"][name] = value;
    std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  fmt::print("{} frames, {} in {} ({}, {} threads)\n", summary.frames, FormatBytes(summary.bytes),
             FormatDuration(summary.seconds), FormatRate(summary.bytes, summary.seconds),
             summary.threads);
  if (summary.frames_invalid > 0) {
    fmt::print("{} frames are {} and were left out\n", summary.frames_invalid,
               frames().is_of_vendor() ? "missing or not usable" : "marked invalid in image_key");
  }
  frames().PrintFindings();
  if (!summary.complete) fmt::print("the deadline came first: the results are partial\n");
  if (summary.partitions_on_device > 0) {
    fmt::print("{} of {} partitions were done on {}\n", summary.partitions_on_device,
               summary.partitions, NameOf(*state_->pass.device));
  }
  if (!summary.device_note.empty()) fmt::print("{}\n", summary.device_note);
  for (const auto& [name, value] : facts) fmt::print("{}: {}\n", name, value);
  for (const std::string& path : written) fmt::print("{}\n", path);
}

}  // namespace penstock::tools
