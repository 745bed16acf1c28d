// Facts for the sidecar out of an EMI's ObjectInfo block.

#ifndef PENSTOCK_INGEST_FORMATS_SER_EMI_METADATA_H_
#define PENSTOCK_INGEST_FORMATS_SER_EMI_METADATA_H_

#include <string>
#include <vector>

#include "ingest/formats/ser/emi_object.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::ser {

struct EmiFacts {
  std::vector<MetadataFact> facts;
  std::vector<std::string> complaints;  // values that contradict each other or are not numbers
  // Units of the element heads' calibration: "m", "1/m", or "" when the EMI does not tell.
  std::string pixel_units;
  std::string pixel_units_evidence;
};

// `emi_name` is used in the evidence. kCorrupt when the block is not well-formed XML.
Result<EmiFacts> ReadEmiFacts(const EmiObject& object, const std::string& emi_name);

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_EMI_METADATA_H_
