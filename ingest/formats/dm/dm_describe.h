// From a DM image to the description of a source: which axes are the scan, calibrations, facts.

#ifndef PENSTOCK_INGEST_FORMATS_DM_DM_DESCRIBE_H_
#define PENSTOCK_INGEST_FORMATS_DM_DM_DESCRIBE_H_

#include <filesystem>
#include <vector>

#include "ingest/formats/dm/dm_image.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::dm {

// kUnsupported for complex and colour images, spectra and data whose frames do not lie in one piece
// each; kCorrupt where the pixels are not what the dimensions say.
Result<SourceDescription> DescribeImage(const gatan::TagTree& tree,
                                        const std::vector<DmImage>& images, const DmImage& image,
                                        const std::filesystem::path& path,
                                        const FileIdentity& identity);

}  // namespace penstock::ingest::dm

#endif  // PENSTOCK_INGEST_FORMATS_DM_DM_DESCRIBE_H_
