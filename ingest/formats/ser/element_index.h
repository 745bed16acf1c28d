// Where the elements of a series lie: offsets checked against the file, geometry checked against
// the element heads.

#ifndef PENSTOCK_INGEST_FORMATS_SER_ELEMENT_INDEX_H_
#define PENSTOCK_INGEST_FORMATS_SER_ELEMENT_INDEX_H_

#include <cstdint>
#include <filesystem>
#include <vector>

#include "ingest/formats/ser/series_header.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::ser {

struct ElementIndex {
  ElementHead first;
  uint64_t frame_bytes = 0;
  std::vector<uint64_t> offsets;      // of the elements that are completely in the file
  std::vector<uint64_t> tag_offsets;  // as many; empty when the tags follow their elements at once
  bool tags_usable = false;
  std::vector<Anomaly> anomalies;
  bool same_calibration = true;  // of all heads that were looked at

  uint64_t ElementEnd(size_t element) const {
    return offsets[element] + kElementHeadBytes + frame_bytes;
  }
  uint64_t TagOffset(size_t element) const {
    return tag_offsets.empty() ? ElementEnd(element) : tag_offsets[element];
  }
};

// Looks at up to 1024 heads and tags, spread over the series, so that opening takes a bounded time;
// decoding looks at every head again. Precondition: the series holds images.
Result<ElementIndex> BuildElementIndex(int fd, uint64_t file_bytes, const SeriesHeader& header,
                                       const std::filesystem::path& path);

// kCorrupt, with both geometries named, unless `head` has the geometry of the first element.
Status CheckSameGeometry(const ElementIndex& index, const ElementHead& head, size_t element,
                         const std::filesystem::path& path);

// Nothing when the tag is not in the file or of another kind than the header says.
Result<std::optional<Tag>> ReadTag(int fd, uint64_t file_bytes, const SeriesHeader& header,
                                   uint64_t offset, const std::filesystem::path& path);

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_ELEMENT_INDEX_H_
