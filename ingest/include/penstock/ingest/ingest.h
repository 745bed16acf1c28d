// Ingest: from a vendor's files to a published dataset directory.
//
// PlanIngest looks and decides (that is all of --dry-run); RunIngest does it. Between start and
// publication everything lies in `.NAME.ingest/` beside the destination, described by the journal
// `.NAME.ingest.journal`, which is locked while an ingest runs. Publication is one rename. A run
// that was stopped, by whatever means, is continued by the same call; see docs/ingest.md.
//
// The functions are thread-safe; an IngestPlan may be run once at a time.

#ifndef PENSTOCK_INGEST_INGEST_H_
#define PENSTOCK_INGEST_INGEST_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

// What to do when the source holds fewer frames than the scan shape asks for.
enum class MissingPolicy : uint8_t {
  kRefuse,
  kZero,  // keep the shape; missing frames are holes, invalid in image_key
  kNan,   // the same, but their pixels are NaN: floating and complex pixels only
  // Of a scan, drop the rows at its end of which nothing was recorded; what else is missing is a
  // hole, so that no frame moves. Of a series, drop the missing frames themselves.
  kSkip,
};

// How blocks are stored (penstock/dataset/compression.h). kAutomatic measures frames of the source
// and the store, and takes what will be read fastest.
enum class CompressionChoice : uint8_t { kNone, kLz4, kZstd, kAutomatic };

// "none", "lz4", "zstd", "auto"
std::string_view CompressionChoiceName(CompressionChoice choice);
Result<CompressionChoice> ParseCompressionChoice(std::string_view name);

// That the frames, displayed with `orientation`, look like a reference; see orientation.h.
struct VerifiedOrientation {
  std::string reference;  // its file name
  std::string checksum;   // XXH3-128 of the file
  std::string orientation;
  double correlation = 0;
  std::string next_orientation;  // the second best
  double next_correlation = 0;
  int64_t frames = 0;  // that were averaged
};

// What the whole process may use while it ingests; see MemoryPlan in ingest/pipeline.
inline constexpr uint64_t kDefaultIngestMemory = uint64_t{384} << 20;

struct IngestOptions {
  // A store, if it ends with '/' or is an existing directory that is no dataset: the dataset is
  // named after the source. Else the dataset directory itself.
  std::filesystem::path to;
  std::string name;    // of the dataset in a store; empty: the one that the source suggests
  std::string format;  // registry name; empty: detected
  OpenOptions open;
  std::optional<ScanShape> scan_shape;
  // Scan position p takes frame p + first frame + sync_offset of the acquisition: positive skips
  // frames, negative puts missing frames in front.
  int64_t sync_offset = 0;
  // With scan_shape: the source holds more frames per row than the scan has columns, those at the
  // end of each row are fly-back. Their number follows from the number of frames.
  bool drop_flyback = false;
  // Go on although the source's own statements contradict each other; they are then recorded. A
  // scan_shape implies it: the user has looked.
  bool accept_contradictions = false;
  MissingPolicy missing = MissingPolicy::kRefuse;
  CompressionChoice compression = CompressionChoice::kNone;
  uint64_t block_bytes = kDefaultBlockBytes;
  int workers = 0;  // 0: one per CPU
  uint64_t memory_bytes = kDefaultIngestMemory;
  bool replace = false;

  // Statements of the user that end in the sidecar; they change no pixel.
  std::optional<OrientationRecord::Matrix> stored_to_display;
  std::optional<double> detector_to_scan_rotation;  // radian
  std::optional<VerifiedOrientation> verified_orientation;
  std::vector<MetadataFact> profile_facts;  // see ReadProfile
  std::vector<std::string> command_line;    // for the history
};

// How the scan shape was found. The first that is `chosen` is used; the others are printed beside.
struct ShapeCandidate {
  ScanShape shape;
  std::string evidence;
  bool chosen = false;
  bool agrees = false;  // with the chosen one
};

// Frames that the acquisition recorded and the source does not hold. The acquisition's frames are
// numbered from 0 with the lost ones; without gaps these are the numbers of the source's frames.
struct FrameGap {
  int64_t before_frame = 0;  // the source frame that follows the gap
  int64_t first_number = 0;  // of the lost frames, in the acquisition
  int64_t count = 0;         // at least 1
};

// The gaps that a source states, in order. kContradiction where they are no gaps between its
// `source_frames` frames or lose more than 2^40 frames together.
Result<std::vector<FrameGap>> NumberGaps(std::span<const MissingFrames> missing,
                                         int64_t source_frames);

// Which source frame belongs to which scan position. The acquisition's frames of a row lie one
// after the other, `extra_frames_per_row` more follow each row.
struct ScanMapping {
  ScanShape scan;
  int64_t source_frames = 0;
  // The acquisition's number of the frame of scan position 0; negative: missing frames in front.
  int64_t first_source_frame = 0;
  int64_t extra_frames_per_row = 0;
  std::vector<FrameGap> gaps = {};  // as NumberGaps gives them

  // -1 where the source has none.
  int64_t SourceFrame(int64_t position) const;
  // The longest run from `position`, at most `limit` long, whose source frames are consecutive or
  // all missing (source == -1). Precondition: position within the scan, limit > 0.
  struct Run {
    int64_t count = 0;
    int64_t source = -1;
  };
  Run RunAt(int64_t position, int64_t limit) const;

  // The number of positions whose frame has a lower number in the acquisition; they are the first.
  int64_t PositionsBefore(int64_t number) const;
  // The number of source frames with a lower number in the acquisition; they are the first.
  int64_t SourceFramesBefore(int64_t number) const;
  int64_t NumberCount() const;  // frames of the acquisition: those of the source and the lost ones

  int64_t MissingInFront() const;  // before the acquisition's first frame, lost or not
  int64_t MissingAtEnd() const;    // behind the last position that has a frame
  int64_t LostPositions() const;   // in gaps
  int64_t UnusedInFront() const;   // source frames before the first scan position
  int64_t UnusedAtEnd() const;     // source frames behind the last scan position
};

struct IngestPlan {
  IngestOptions options;
  std::filesystem::path source_path;
  std::shared_ptr<FrameSource> source;
  std::filesystem::path destination;  // the dataset directory
  DatasetShape shape;
  BlockGrid grid;
  ScanMapping mapping;
  std::vector<ShapeCandidate> shape_candidates;
  std::vector<Anomaly> anomalies;    // of the source and of the shape against it
  uint64_t free_bytes = 0;           // at the destination
  std::vector<std::string> remarks;  // what a user should know and that is nothing wrong
  int workers = 1;
  int64_t tile_frames = 1;
  uint64_t memory_bytes = 0;  // what running it uses, with all its workers
  uint64_t destination_bytes = 0;
};

// Opens the source and decides everything. Errors: what OpenSource gives; kContradiction where the
// source does not hold what the scan shape needs (see MissingPolicy) or where its own statements
// about its geometry contradict each other and the user has not given the shape; kInvalidArgument
// where kNan is asked for and the pixels are integers.
Result<IngestPlan> PlanIngest(const std::filesystem::path& source_path,
                              const IngestOptions& options);
// The same for a source that is open already; options.format and options.open are what it was
// opened with.
Result<IngestPlan> PlanIngest(std::shared_ptr<FrameSource> source,
                              const std::filesystem::path& source_path,
                              const IngestOptions& options);

// Decodes frames of the plan for a fraction of a second. Frames of 0: nothing was measured.
struct RateMeasurement {
  int64_t frames = 0;
  uint64_t bytes = 0;  // decoded
  double seconds = 0;
  double estimated_seconds = 0;  // for the whole ingest; an estimate from reading alone
};
Result<RateMeasurement> MeasureRate(const IngestPlan& plan);

struct IngestResult {
  std::filesystem::path destination;
  uint64_t frame_bytes = 0;  // of all frames written
  int64_t frames = 0;
  int64_t missing_frames = 0;  // image_key != 0
  uint64_t source_files = 0;
  int64_t blocks = 0;
  Compression compression = Compression::kNone;
  std::string compression_reason;     // of kAutomatic: what was measured
  uint64_t stored_bytes = 0;          // of all block files; 0 where was_published_before
  int64_t resumed_blocks = 0;         // taken over from an earlier run, verified
  bool was_published_before = false;  // an earlier run was stopped after publication
  double seconds = 0;
  std::vector<Anomaly> anomalies;  // as in the sidecar
  uint64_t further_anomalies = 0;  // counted but not listed
};

// Errors leave nothing at the destination and an existing dataset untouched. kAlreadyExists: there
// is something at the destination and `replace` was not asked for. kBusy: another ingest into the
// same destination is running. kCancelled: stopped; the same call continues.
Result<IngestResult> RunIngest(const IngestPlan& plan, ProgressSink& progress,
                               std::stop_token stop);

// For who does not run a plan because its dataset is there: removes what a run that was killed
// right after the publication has left beside it.
Status CleanUpAfterPublication(const IngestPlan& plan);

// An operator's profile: a JSON object whose keys are NeXus paths relative to the NXentry and whose
// values are values or {"value": ..., "units": "..."}. The evidence of each fact names the file.
Result<std::vector<MetadataFact>> ReadProfile(const std::filesystem::path& path);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_INGEST_H_
