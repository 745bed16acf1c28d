// FrameSource: an opened acquisition in a vendor's format, and SourceFormat: how it is recognised.
//
// A format is one folder under ingest/formats/ with its parser and one line in registry.cc. It
// answers three questions and nothing else: does this path look like me, what is here, and what are
// the pixels of frames [a, b). Pipeline, statistics, checksums, previews, sidecar, progress and
// resume are shared.

#ifndef PENSTOCK_INGEST_FRAME_SOURCE_H_
#define PENSTOCK_INGEST_FRAME_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"
#include "penstock/ingest/source_reader.h"

namespace penstock::ingest {

// What a frame's own header says, for formats that have one. Absent members are not in the format.
struct FrameHeaderFacts {
  std::optional<int64_t> sequence_number;
  std::optional<int64_t> exposure_ns;
  std::optional<int64_t> time_unix_ns;
};

// Where a frame lies in the vendor's files.
struct FrameLocation {
  size_t file = 0;  // index into SourceDescription::files
  // Of the frame's record: of its own header where it has one, else of its first pixel. Nothing
  // where a frame does not lie in one piece (chunks).
  std::optional<uint64_t> offset;
};

// Collects what decoding finds. Thread-safe.
class DecodeReport {
 public:
  virtual ~DecodeReport() = default;
  virtual void AddAnomaly(Anomaly anomaly) = 0;
  virtual void AddFrameFacts(int64_t /*source_frame*/, const FrameHeaderFacts& /*facts*/) {}
  // The frame's pixels are not usable (lost sector, damaged header): image_key 3.
  virtual void MarkInvalid(int64_t source_frame, std::string_view reason) = 0;
};

// A worker's own state for Decode; never shared between threads, and used with one source only.
struct DecodeContext {
  AlignedBuffer scratch;  // grown by the source as it needs, reused from call to call
  SourceReader reader;
  RawBytesObserver* observer = nullptr;
  DecodeReport* report = nullptr;  // never null during Decode

  // SourceReader::Read, seen by the observer.
  Result<std::span<const std::byte>> Read(const SourceRange& range,
                                          const std::filesystem::path& path);
  // The same, of any length, to `destination` of range.bytes bytes.
  Status ReadInto(const SourceRange& range, std::span<std::byte> destination,
                  const std::filesystem::path& path);
};

struct SourceFile {
  std::filesystem::path path;
  std::string role;        // "frames", "header", "metadata", "dark", "sector 3"
  std::string media_type;  // "application/x-medipix-mib"
  FileIdentity identity;   // at open; the pipeline refuses a source that changed since
};

// A statement about the scan shape, strongest first (design: user > vendor header > trigger and
// time-stamp analysis > square). The pipeline takes the first and names those that contradict it.
struct ScanShapeEvidence {
  ScanShape shape;
  std::string evidence;  // "scan.hdr: ScanX = 256, ScanY = 256"
  // Frames of the source per scan row beyond shape.columns (fly-back, line skip), 0 where none.
  int64_t extra_frames_per_row = 0;
  // Concluded from the frames that are there (their number, their times), not stated anywhere: of
  // no worth while an acquisition is still being written.
  bool from_frames = false;
};

// A gap in the source's own numbering of its frames: `count` frames belong between source frames
// before_frame - 1 and before_frame. Frames missing at the end are not listed. The count comes from
// the file and is unchecked but for being positive.
struct MissingFrames {
  int64_t before_frame = 0;
  int64_t count = 0;
  std::string evidence;
};

// For sources stored in chunks (HDF5, Zarr): reading fewer frames than a chunk wastes the rest.
struct ChunkHint {
  int64_t frames = 1;          // frames per chunk along the frame axis
  uint64_t scratch_bytes = 0;  // what Decode allocates in its context, where more than a tile
  uint64_t shared_bytes = 0;   // what the source keeps for all threads: chunk tables, a cache
};

struct SourceDescription {
  std::string format;          // registry name: "mib"
  std::string suggested_name;  // dataset name, from the file name
  std::vector<SourceFile> files;
  SignalShape signal;
  ElementType element_type = ElementType::kUint16;
  int64_t frame_count = 0;  // complete frames in the files: what the bytes say, not the header
  std::vector<ScanShapeEvidence> scan_shapes;  // may be empty: then it is a series
  std::vector<MissingFrames> missing_frames;   // in order; also reported as anomalies
  // Source frame that belongs to scan position 0 by the format's own rule (K2 IS), with evidence.
  int64_t first_frame = 0;
  std::string first_frame_evidence;
  std::vector<MetadataFact> facts;
  std::map<std::string, AxisCalibration> axes;
  std::vector<VendorHeader> vendor_headers;
  std::vector<Anomaly> anomalies;  // found while opening; kHeaderContradiction refuses by default
  OrientationRecord orientation;
  PixelMask pixel_mask;  // pixels that are not valid in any frame (an absent sector, dead pixels)
  std::optional<ChunkHint> chunks;
  std::vector<std::string> corrections;  // applied by Decode ("dark frame subtracted"), verbatim
  bool growing = false;  // the acquisition is still being written; frame_count may rise (Refresh)
};

// Decodes large frames strip by strip, so that no frame lies in memory as a whole. Not thread-safe;
// must not outlive its source.
class StripDecoder {
 public:
  virtual ~StripDecoder() = default;
  // Begins with some source frames; -1: none at this place. Anomalies go to context.report, as with
  // FrameSource::Decode.
  virtual Status Begin(std::span<const int64_t> frames, DecodeContext& context) = 0;
  // Rows [first, last) of each of these frames to `destination`, frame after frame without gaps;
  // at places without a frame nothing is written. Files may be read where they lie in the page
  // cache: one that is cut short meanwhile is an error, which names it.
  virtual Status Rows(int64_t first, int64_t last, std::span<std::byte> destination) const = 0;

  // Where files store pixels in another order than C order, in which they are decoded sooner: place
  // i holds pixel [i] of the frame. Null: there is none.
  virtual std::shared_ptr<const std::vector<uint32_t>> stored_order() const { return nullptr; }
  // As Rows, places [first, last) of the stored order, which are even. Precondition: there is one.
  virtual Status StoredPixels(int64_t /*first*/, int64_t /*last*/,
                              std::span<std::byte> /*destination*/) const {
    return Error::Internal("there is no stored order");
  }

  // Not 0: the stored order is made of runs of so many pixels, which are packed 12 bits each (two
  // in three bytes, low bits first) and lie one behind the other.
  virtual int64_t packed_run() const { return 0; }
  // Where the pixels of run number `run` lie, until the next Begin, of the frames from number
  // `first` of those begun on; zeros at places without a frame. Precondition: packed_run() is not
  // 0.
  virtual void LocatePacked(int64_t /*run*/, size_t /*first*/,
                            std::span<const std::byte*> /*frames*/) const {}
  // An error where some of these bytes, once they have been read, were none of the file's.
  virtual Status CheckPacked() const { return Status::Ok(); }
};

// Thread-safe after construction: description() is constant (but for Refresh), Decode may be called
// from several threads at once with different contexts.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  virtual const SourceDescription& description() const = 0;

  // Decodes source frames [first, last) to `destination`: C order, little-endian, exactly
  // (last - first) * frame bytes. Anomalies go to context.report; an error means that no pixel of
  // the destination may be used. Precondition: 0 <= first <= last <= frame_count.
  virtual Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                        DecodeContext& context) const = 0;

  // Null where frames are decoded as a whole.
  virtual std::unique_ptr<StripDecoder> MakeStripDecoder() const { return nullptr; }

  // Nothing where the frame is in no one file. Cheap: no file is read. Precondition:
  // 0 <= frame < frame_count.
  virtual std::optional<FrameLocation> Locate(int64_t /*frame*/) const { return std::nullopt; }

  // Whether Refresh finds frames that have come since the source was opened.
  virtual bool MayGrow() const { return false; }
  // For growing sources: looks again at the files, returns the new frame_count. Not to be called
  // while Decode runs.
  virtual Result<int64_t> Refresh() { return description().frame_count; }
};

// Command-line choices that concern opening. A format ignores what it has no use for, except that
// raw needs signal_shape and element_type.
struct OpenOptions {
  std::optional<SignalShape> signal_shape;
  std::optional<ElementType> element_type;
  bool big_endian = false;          // raw: the file's byte order
  uint64_t file_header_bytes = 0;   // raw: --offset
  uint64_t frame_header_bytes = 0;  // raw
  uint64_t frame_footer_bytes = 0;  // raw
  bool this_file_only = false;      // do not collect the other files of a series
  std::string dataset_path;         // HDF5, Zarr
  // Go on without a part of the detector whose data is missing; it ends in the pixel mask.
  bool rescue = false;
  // Corrections, for formats that come with raw pixels. Where they are asked for and the source has
  // no use for them, opening is refused.
  bool subtract_dark = false;  // the dark reference that belongs to the acquisition
  std::string gain_file;       // multiply with the gain reference in this file; "" for none
};

enum class Confidence : uint8_t { kNo, kMaybe, kYes };

struct Detection {
  Confidence confidence = Confidence::kNo;
  std::string evidence;  // "starts with 'MQ1,'"
};

// Stateless; thread-safe.
class SourceFormat {
 public:
  virtual ~SourceFormat() = default;
  virtual std::string_view name() const = 0;         // "mib"
  virtual std::string_view description() const = 0;  // "Merlin MIB (Quantum Detectors)"
  // By content alone. `head`: up to the first 4096 bytes of the file, nothing for a directory.
  virtual Detection Detect(const std::filesystem::path& path,
                           std::span<const std::byte> head) const = 0;
  virtual Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                                    const OpenOptions& options) const = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FRAME_SOURCE_H_
