#include "tools/penstock/pass_frames.h"

#include <fmt/format.h>

#include <cstdio>
#include <system_error>
#include <utility>

#include "tools/penstock/ingest_output.h"

namespace penstock::tools {

namespace {

constexpr size_t kListedAnomalies = 20;

}  // namespace

Result<PassFrames> PassFrames::OfDataset(const std::string& path, const ReadOptions& options) {
  auto reader = Reader::Open(path, options);
  std::error_code ignored;
  if (!reader.ok() && std::filesystem::is_regular_file(path, ignored)) {
    return Error::InvalidArgument("this is a file and no dataset")
        .In(path)
        .Advice("--no-ingest reads a vendor's file as it is; penstock ingest makes a dataset");
  }
  if (!reader.ok()) return std::move(reader).error();
  PassFrames frames;
  frames.reader_ = std::move(reader).value();
  return frames;
}

Result<PassFrames> PassFrames::OfVendorFile(const std::string& path,
                                            const IngestArguments& arguments, bool use_pixel_mask) {
  PENSTOCK_ASSIGN_OR_RETURN(ingest::IngestOptions options, ToIngestOptions(arguments));
  PassFrames frames;
  PENSTOCK_ASSIGN_OR_RETURN(frames.vendor_,
                            VendorFrames::Open(path, std::move(options), use_pixel_mask));
  return frames;
}

const DatasetShape& PassFrames::shape() const {
  return vendor_ ? vendor_->shape() : reader_->shape();
}

Result<std::vector<uint32_t>> PassFrames::ReadPixelMask() const {
  if (vendor_) return vendor_->description().pixel_mask.values;
  return reader_->dataset().ReadPixelMask();
}

Result<PassSummary> PassFrames::Run(std::span<Reduction* const> reductions,
                                    const PassOptions& options) const {
  if (!vendor_) return reader_->Run(reductions, options);
  return Unchanged(RunPass(*vendor_, reductions, options));
}

Result<Components> PassFrames::Find(const ComponentOptions& wanted,
                                    const PassOptions& options) const {
  if (!vendor_) return FindComponents(*reader_, wanted, options);
  return Unchanged(FindComponents(*vendor_, wanted, options));
}

Result<RegionStatistics> PassFrames::Summarize(const PassOptions& options,
                                               const RegionStatisticsOptions& wanted) const {
  if (!vendor_) return SummarizeRegion(*reader_, options, wanted);
  return Unchanged(SummarizeRegion(*vendor_, options, wanted));
}

Result<std::vector<std::byte>> PassFrames::ReadFrame(int64_t frame) const {
  if (!vendor_) return reader_->ReadFrame(frame);
  return Unchanged(penstock::ReadFrame(*vendor_, frame));
}

template <typename Value>
Result<Value> PassFrames::Unchanged(Result<Value> result) const {
  if (result.ok()) PENSTOCK_RETURN_IF_ERROR(vendor_->CheckUnchanged());
  return result;
}

Provenance PassFrames::MakeProvenance(const std::vector<std::string>& command_line) const {
  return vendor_ ? ProvenanceOf(vendor_->description(), command_line)
                 : ProvenanceOf(reader_->dataset(), command_line);
}

std::vector<Anomaly> PassFrames::Anomalies() const {
  return vendor_ ? vendor_->Anomalies() : std::vector<Anomaly>();
}

std::vector<std::string> PassFrames::Remarks() const {
  return vendor_ ? vendor_->remarks() : std::vector<std::string>();
}

void PassFrames::PrintFindings() const {
  for (const std::string& remark : Remarks()) fmt::print(stderr, "remark: {}\n", remark);
  const std::vector<Anomaly> anomalies = Anomalies();
  for (size_t i = 0; i < anomalies.size() && i < kListedAnomalies; ++i) {
    fmt::print(stderr, "anomaly: {}\n", AnomalyText(anomalies[i]));
  }
  if (anomalies.size() > kListedAnomalies) {
    fmt::print(stderr, "and {} more anomalies\n", anomalies.size() - kListedAnomalies);
  }
}

void PassFrames::AddFindings(nlohmann::ordered_json& line) const {
  if (!vendor_) return;
  line["remarks"] = Remarks();
  line["anomalies"] = AnomaliesToJson(Anomalies());
}

void AddToParameters(const IngestArguments& arguments, nlohmann::ordered_json& parameters) {
  parameters["no_ingest"] = true;
  if (!arguments.source.format.empty()) parameters["format"] = arguments.source.format;
  if (!arguments.scan_shape.empty()) parameters["scan_shape"] = arguments.scan_shape;
  if (arguments.sync_offset != 0) parameters["sync_offset"] = arguments.sync_offset;
  parameters["missing"] = arguments.missing;
  if (arguments.drop_flyback) parameters["drop_flyback"] = true;
}

}  // namespace penstock::tools
