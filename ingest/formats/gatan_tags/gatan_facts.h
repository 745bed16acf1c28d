// Facts for the sidecar out of the tags that Gatan's programs write for an image.

#ifndef PENSTOCK_INGEST_FORMATS_GATAN_TAGS_GATAN_FACTS_H_
#define PENSTOCK_INGEST_FORMATS_GATAN_TAGS_GATAN_FACTS_H_

#include <string>
#include <vector>

#include "ingest/formats/gatan_tags/tag_tree.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::gatan {

// `image_tags` is the group that has "Microscope Info" and "Acquisition" (ImageTags of a DM file,
// "SI Image Tags" of a .gtg); `where` names file and group in the evidence. A fact that is there
// already is left alone.
void AddGatanFacts(const TagNode& image_tags, const std::string& where,
                   std::vector<MetadataFact>& facts);

}  // namespace penstock::ingest::gatan

#endif  // PENSTOCK_INGEST_FORMATS_GATAN_TAGS_GATAN_FACTS_H_
