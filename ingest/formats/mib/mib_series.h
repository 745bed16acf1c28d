// Which files make up one acquisition, and in which order.
//
// Merlin may split an acquisition into NAME1.mib, NAME2.mib, ... with one NAME.hdr. Candidates are
// the files whose name begins with the opened one's without its trailing digits; what belongs is
// decided by .hdr files, frame layout and sequence numbers, and the order by the sequence number of
// each file's first frame, never by name.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_SERIES_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_SERIES_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/mib/mib_file.h"
#include "ingest/formats/mib/mib_sidecar.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest {

// More files than this in one acquisition are reported.
inline constexpr size_t kMibManyFiles = 16384;

struct MibSeries {
  std::vector<MibFile> files;         // in order; every one with at least one complete frame
  std::vector<int64_t> first_frames;  // number of each file's first frame; one more: frame_count
  std::optional<MibSidecar> sidecar;
  std::string name;  // for the dataset
  std::vector<Anomaly> anomalies;

  int64_t frame_count() const { return first_frames.back(); }
  const MibFile& first() const { return files.front(); }
  // Index of the file that holds `frame`. Precondition: 0 <= frame < frame_count().
  size_t FileOfFrame(int64_t frame) const;
};

// `path` is a .mib file or its .hdr file. With `this_file_only` no other .mib file is looked for.
Result<MibSeries> CollectMibSeries(const std::filesystem::path& path, bool this_file_only);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_SERIES_H_
