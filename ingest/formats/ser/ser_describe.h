// What a series says about itself beyond its pixels: scan shape, axes, facts, vendor headers.

#ifndef PENSTOCK_INGEST_FORMATS_SER_SER_DESCRIBE_H_
#define PENSTOCK_INGEST_FORMATS_SER_SER_DESCRIBE_H_

#include <filesystem>

#include "ingest/formats/ser/element_index.h"
#include "ingest/formats/ser/series_header.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::ser {

struct OpenedSeries {
  std::filesystem::path path;
  FileDescriptor fd;
  FileIdentity identity;
  SeriesHeader header;
  ElementIndex index;
};

// Includes what the EMI beside the file says, when there is one; an EMI that cannot be read is an
// anomaly, because pixels do not depend on it.
Result<SourceDescription> DescribeSeries(const OpenedSeries& series);

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_SER_DESCRIBE_H_
