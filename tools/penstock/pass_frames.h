// What a pass is made over: a dataset, or an acquisition in a vendor's files (--no-ingest).

#ifndef PENSTOCK_TOOLS_PASS_FRAMES_H_
#define PENSTOCK_TOOLS_PASS_FRAMES_H_

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/components.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/region_statistics.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/provenance.h"
#include "tools/penstock/vendor_frames.h"

namespace penstock::tools {

class PassFrames {
 public:
  static Result<PassFrames> OfDataset(const std::string& path, const ReadOptions& options);
  static Result<PassFrames> OfVendorFile(const std::string& path, const IngestArguments& arguments,
                                         bool use_pixel_mask);

  const DatasetShape& shape() const;
  // As Dataset::ReadPixelMask.
  Result<std::vector<uint32_t>> ReadPixelMask() const;
  // As the reader has them; kCorrupt where a vendor's file has changed meanwhile.
  Result<PassSummary> Run(std::span<Reduction* const> reductions, const PassOptions& options) const;
  Result<Components> Find(const ComponentOptions& wanted, const PassOptions& options) const;
  Result<RegionStatistics> Summarize(const PassOptions& options,
                                     const RegionStatisticsOptions& wanted) const;
  Result<std::vector<std::byte>> ReadFrame(int64_t frame) const;
  Provenance MakeProvenance(const std::vector<std::string>& command_line) const;

  // Of vendor files: what was found in them, of which somebody should know. After the pass.
  bool is_of_vendor() const { return vendor_ != nullptr; }
  std::vector<Anomaly> Anomalies() const;
  std::vector<std::string> Remarks() const;
  // At most 20 anomalies, to standard error.
  void PrintFindings() const;
  // Both as members of a result in JSON; nothing of a dataset.
  void AddFindings(nlohmann::ordered_json& line) const;

 private:
  template <typename Value>
  Result<Value> Unchanged(Result<Value> result) const;

  std::optional<Reader> reader_;
  std::unique_ptr<VendorFrames> vendor_;
};

// What of the arguments makes a difference to the results.
void AddToParameters(const IngestArguments& arguments, nlohmann::ordered_json& parameters);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PASS_FRAMES_H_
