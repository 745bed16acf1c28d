#include "tools/penstock/apply_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "tools/penstock/live_preview.h"
#include "tools/penstock/picture.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;

ImageShape ShapeOfImage(const std::vector<int64_t>& shape) {
  if (shape.size() == 1) return {1, shape[0]};
  return {shape[shape.size() - 2], shape.back()};
}

// The operations of one run.
struct Operations {
  std::unique_ptr<MaskReduction> masks;
  std::unique_ptr<CentreOfMassReduction> centre;
  std::unique_ptr<SumReduction> sum;
  std::unique_ptr<StatisticsReduction> statistics;

  std::vector<Reduction*> All() const {
    std::vector<Reduction*> all;
    if (masks) all.push_back(masks.get());
    if (centre) all.push_back(centre.get());
    if (sum) all.push_back(sum.get());
    if (statistics) all.push_back(statistics.get());
    return all;
  }
};

Result<Operations> MakeOperations(const ApplyOptions& options, SignalShape signal) {
  Operations operations;
  std::vector<Mask> masks;
  for (const std::string& text : options.masks) {
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<Mask> some, ParseMasks(text, signal));
    std::move(some.begin(), some.end(), std::back_inserter(masks));
  }
  if (!masks.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(operations.masks, MaskReduction::Create(std::move(masks)));
  }
  if (options.centre_of_mass) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<Mask> selection,
                              ParseMasks(options.selection, signal));
    if (selection.size() != 1) {
      return Error::InvalidArgument("the centre of mass takes one selection")
          .Found(fmt::format("{} masks in {}", selection.size(), options.selection));
    }
    PENSTOCK_ASSIGN_OR_RETURN(operations.centre, CentreOfMassReduction::Create(selection.front()));
  }
  if (options.sum) operations.sum = std::make_unique<SumReduction>();
  if (options.statistics) operations.statistics = std::make_unique<StatisticsReduction>();
  if (operations.All().empty()) {
    return Error::InvalidArgument("nothing to do")
        .Advice("give at least one of --mask, --com, --sum, --std");
  }
  return operations;
}

// Where results go, and what was written.
class Outputs {
 public:
  // `single`: the run has exactly one array as its result.
  static Result<Outputs> Prepare(const std::string& out, bool single, bool pictures) {
    Outputs outputs;
    outputs.pictures_ = pictures;
    if (fs::path(out).extension() == ".npy") {
      if (!single) {
        return Error::InvalidArgument(fmt::format("one .npy file can't hold all results: {}", out))
            .Advice("give --out a folder or the beginning of the file names");
      }
      outputs.single_ = out;
      PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.single_));
    } else if (fs::is_directory(out) || out.ends_with('/')) {
      outputs.prefix_ = (fs::path(out) / "").string();
      PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.prefix_));
    } else {
      outputs.prefix_ = out + "_";
      PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.prefix_));
    }
    return outputs;
  }

  Status Array(const std::string& name, const ResultArray& array) {
    const fs::path path = single_.empty() ? fs::path(prefix_ + name + ".npy") : single_;
    PENSTOCK_RETURN_IF_ERROR(WriteResult(path, array));
    written_.push_back(path.string());
    return Status::Ok();
  }

  Status Picture(const std::string& name, const std::vector<int64_t>& shape,
                 const std::vector<double>& values, const PictureOptions& options) {
    if (!pictures_) return Status::Ok();
    const fs::path path = PicturePath(name);
    PENSTOCK_RETURN_IF_ERROR(WritePicture(path, ShapeOfImage(shape), values, options));
    written_.push_back(path.string());
    return Status::Ok();
  }

  Status Vectors(const std::string& name, const ResultArray& rows, const ResultArray& columns) {
    if (!pictures_) return Status::Ok();
    const fs::path path = PicturePath(name);
    PENSTOCK_RETURN_IF_ERROR(WriteVectorPicture(path, ShapeOfImage(rows.shape), rows.doubles(),
                                                columns.doubles(),
                                                "centre of mass about its mean"));
    written_.push_back(path.string());
    return Status::Ok();
  }

  const std::vector<std::string>& written() const { return written_; }

 private:
  static Status MakeParent(const fs::path& path) {
    const fs::path parent = path.parent_path();
    return parent.empty() ? Status::Ok() : CreateDirectories(parent);
  }

  fs::path PicturePath(const std::string& name) const {
    if (!single_.empty()) return fs::path(single_).replace_extension(".png");
    return prefix_ + name + ".png";
  }

  fs::path single_;
  std::string prefix_;
  bool pictures_ = true;
  std::vector<std::string> written_;
};

Status WriteMasks(const MaskReduction& masks, Outputs& outputs) {
  const ResultArray& result = masks.result();
  const size_t count = masks.masks().size();
  ResultArray array = result;
  if (count == 1) array.shape.erase(array.shape.begin());  // one mask: one image
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("masks", array));
  const size_t frames = result.size() / count;
  const std::vector<int64_t> image(result.shape.begin() + 1, result.shape.end());
  for (size_t k = 0; k < count; ++k) {
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture(fmt::format("mask{}", k), image,
                                             result.AsDoubles(k * frames, frames),
                                             {masks.masks()[k].name}));
  }
  return Status::Ok();
}

Status WriteResults(const Operations& operations, Outputs& outputs) {
  if (operations.masks) PENSTOCK_RETURN_IF_ERROR(WriteMasks(*operations.masks, outputs));
  if (operations.centre) {
    const ResultArray rows = operations.centre->Rows();
    const ResultArray columns = operations.centre->Columns();
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("com_rows", rows));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("com_columns", columns));
    PENSTOCK_RETURN_IF_ERROR(outputs.Vectors("com", rows, columns));
    PENSTOCK_RETURN_IF_ERROR(
        outputs.Picture("com_rows", rows.shape, rows.doubles(), {"centre of mass, row"}));
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture("com_columns", columns.shape, columns.doubles(),
                                             {"centre of mass, column"}));
  }
  if (operations.sum) {
    const ResultArray& sum = operations.sum->result();
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("sum", sum));
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture("sum", sum.shape, sum.AsDoubles(),
                                             {"sum over all frames", DisplayScale::kLogarithmic}));
  }
  if (operations.statistics) {
    const ResultArray mean = operations.statistics->Mean();
    const ResultArray deviation = operations.statistics->StandardDeviation();
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("mean", mean));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("std", deviation));
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture("mean", mean.shape, mean.doubles(),
                                             {"mean over all frames", DisplayScale::kLogarithmic}));
    PENSTOCK_RETURN_IF_ERROR(
        outputs.Picture("std", deviation.shape, deviation.doubles(),
                        {"standard deviation over all frames", DisplayScale::kLogarithmic}));
  }
  return Status::Ok();
}

// What the live preview shows: the first image over the scan, else the first over the detector.
void DrawLive(const Operations& operations, const PassProgress& progress, LivePreview& preview) {
  const std::string caption =
      fmt::format("{} of {} frames", progress.frames_done, progress.frame_count);
  if (operations.masks || operations.centre) {
    ResultArray image =
        operations.masks ? operations.masks->result() : operations.centre->Intensity();
    const auto frames = static_cast<size_t>(progress.frame_count);
    std::vector<double> values = image.AsDoubles(0, frames);
    for (size_t f = 0; f < frames; ++f) {
      if (progress.done[f] == 0) values[f] = std::numeric_limits<double>::quiet_NaN();
    }
    preview.Draw(ShapeOfImage(image.shape), values, caption);
  } else {
    const ResultArray image =
        operations.sum ? operations.sum->result() : operations.statistics->Mean();
    preview.Draw(ShapeOfImage(image.shape), image.AsDoubles(), caption);
  }
}

void PrintSummary(const ApplyOptions& options, const PassSummary& summary,
                  const std::vector<std::string>& written) {
  if (options.json) {
    const double gibibytes = static_cast<double>(summary.bytes) / (1 << 30);
    nlohmann::ordered_json line = {
        {"event", "result"},
        {"command", "apply"},
        {"dataset", options.dataset},
        {"frames", summary.frames},
        {"frames_invalid", summary.frames_invalid},
        {"bytes", summary.bytes},
        {"seconds", summary.seconds},
        {"gib_per_second", summary.seconds > 0 ? gibibytes / summary.seconds : 0.0},
        {"threads", summary.threads},
        {"partitions",
         {{"total", summary.partitions},
          {"mapped", summary.partitions_mapped},
          {"direct", summary.partitions_direct},
          {"pread", summary.partitions_pread},
          {"leased", summary.partitions_leased}}},
        {"extents_verified", summary.extents_verified},
        {"outputs", written}};
    std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  fmt::print("{} frames, {} in {} ({}, {} threads)\n", summary.frames, FormatBytes(summary.bytes),
             FormatDuration(summary.seconds), FormatRate(summary.bytes, summary.seconds),
             summary.threads);
  if (summary.frames_invalid > 0) {
    fmt::print("{} frames are marked invalid in image_key and were left out\n",
               summary.frames_invalid);
  }
  for (const std::string& path : written) fmt::print("{}\n", path);
}

}  // namespace

void AddPassOptions(CLI::App& command, ApplyOptions& options) {
  command.add_option("dataset", options.dataset, "a dataset directory, or one on a penstock mount")
      ->required();
  command
      .add_option("--out", options.out,
                  "NAME.npy for a single result, or a folder, or the beginning of all file names")
      ->required();
  command.add_option("--threads", options.threads, "workers; default: one per processor")
      ->check(CLI::Range(1, 1024));
  command.add_option("--backend", options.backend, "automatic, mmap, direct or pread");
  command.add_flag("--no-verify", options.no_verify,
                   "don't hold the blocks against their checksums");
  command.add_flag("--live", options.live, "show the result in the terminal while it grows");
  command.add_flag("--live-always", options.live_always, "--live without a terminal, too");
  command.add_flag("--json", options.json, "progress and summary as JSON lines");
  command.add_flag("--no-pictures", options.no_pictures, "write .npy files only");
}

Status RunApply(const ApplyOptions& options, std::stop_token stop) {
  ReadOptions read_options;
  PENSTOCK_ASSIGN_OR_RETURN(read_options.backend, ParseBackend(options.backend));
  read_options.verify = !options.no_verify;
  PENSTOCK_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(options.dataset, read_options));
  PENSTOCK_ASSIGN_OR_RETURN(const Operations operations,
                            MakeOperations(options, reader.shape().signal));
  const bool single = operations.All().size() == 1 && (operations.masks || operations.sum);
  PENSTOCK_ASSIGN_OR_RETURN(Outputs outputs,
                            Outputs::Prepare(options.out, single, !options.no_pictures));

  std::optional<LivePreview> preview;
  if (options.live_always || (options.live && isatty(STDERR_FILENO) == 1)) preview.emplace(stderr);
  const auto progress = preview ? std::make_unique<SilentProgress>()
                                : MakeProgressDisplay(ChooseProgressStyle(options.json));
  PassOptions pass;
  pass.threads = options.threads;
  pass.stop = std::move(stop);
  uint64_t reported = 0;
  pass.on_partition = [&](const PassProgress& now) {
    progress->Advance(now.bytes_done - reported);
    reported = now.bytes_done;
    const bool last = now.partitions_done == now.partition_count;
    if (preview && (last || preview->IsDue())) DrawLive(operations, now, *preview);
  };
  progress->Begin("apply", reader.shape().payload_bytes());
  const std::vector<Reduction*> reductions = operations.All();
  auto summary = reader.Run(reductions, pass);
  progress->End();
  PENSTOCK_RETURN_IF_ERROR(summary);
  PENSTOCK_RETURN_IF_ERROR(WriteResults(operations, outputs));
  PrintSummary(options, *summary, outputs.written());
  return Status::Ok();
}

}  // namespace penstock::tools
