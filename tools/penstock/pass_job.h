// What all commands that pass over the frames of a dataset have in common: the options that say
// which frames are seen and how, a display while the pass runs, where results come from, the
// summary.

#ifndef PENSTOCK_TOOLS_PASS_JOB_H_
#define PENSTOCK_TOOLS_PASS_JOB_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/reader/reader.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/pass_frames.h"
#include "tools/penstock/provenance.h"

namespace penstock::tools {

// As on the command line; "" where an option was not given.
struct PassJobOptions {
  std::vector<std::string> command_line;  // for provenance
  std::string dataset;
  bool no_ingest = false;  // `dataset` is a vendor's file, to be read as it is
  IngestArguments acquisition;
  std::string region;           // of the scan, as ParseRegion takes it
  bool all_pixels = false;      // also those that the pixel mask marks
  double deadline_seconds = 0;  // 0: none
  bool fast_order = false;
  std::string out;  // as ResultOutputs::Prepare takes it
  int threads = 0;
  std::string backend = "automatic";
  std::string device = "cpu";  // auto, cpu or cuda
  bool no_verify = false;
  bool json = false;
  bool no_pictures = false;
  // How the frames are seen (penstock/reader/frame_view.h).
  std::string dark;
  std::string gain;
  std::string dead;  // an .npy file or "pixel_mask"
  std::string shifts;
  std::string crop;
  int64_t bin = 1;
};

void AddPassOptions(CLI::App& command, PassJobOptions& options, bool out_is_required = true);

// --no-ingest, and the options of vendor files that go with it.
void AddVendorOptions(CLI::App& command, bool& no_ingest, IngestArguments& acquisition);
void AddVendorOptions(CLI::App& command, PassJobOptions& options);

// An open dataset, or a vendor's file, and the options of its passes.
class PassJob {
 public:
  static Result<PassJob> Open(const PassJobOptions& options, std::stop_token stop);
  ~PassJob();
  PassJob(PassJob&&) noexcept;

  const PassFrames& frames() const;
  const PassOptions& pass() const;
  SignalShape signal() const;  // of the frames as they are seen
  // Of these; nothing where they are seen in another way than they are stored.
  std::optional<ElementType> stored_type() const;

  using Watch = std::function<void(const PassProgress&)>;
  // A display of `passes` passes begins, or, with `silent`, none. `watch`: called after each
  // partition, too.
  void BeginProgress(const std::string& name, uint64_t passes = 1, bool silent = false,
                     Watch watch = nullptr);
  void EndProgress();

  // `parameters` of the command itself; those of the pass, and the files that they name, are added.
  Result<Provenance> MakeProvenance(nlohmann::ordered_json parameters) const;
  using Facts = std::vector<std::pair<std::string, std::string>>;
  void PrintSummary(const std::string& command, const PassSummary& summary, const Facts& facts,
                    const std::vector<std::string>& written) const;

 private:
  struct State;
  explicit PassJob(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Of a command that says whether a vendor's files have anomalies, or fails, which is reported.
int PassExitStatus(const Result<bool>& anomalies);

// Text that names a file of arrays: its digest is worth keeping.
bool NamesArrayFile(const std::string& text);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PASS_JOB_H_
