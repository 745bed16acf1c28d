// The XML description of an EMPAD acquisition.

#ifndef PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_XML_H_
#define PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_XML_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::empad {

inline constexpr uint64_t kMaxXmlBytes = uint64_t{4} << 20;

struct Description {
  std::string text;      // the file, UTF-8
  std::string raw_name;  // last component of raw_file@filename, "" where there is none
  // What the XML says about the scan, strongest first.
  std::vector<ScanShapeEvidence> shapes;
  std::vector<MetadataFact> facts;
  std::vector<std::string> complaints;
};

// A root element with raw_file and what the camera's server writes.
bool LooksLikeDescription(std::string_view text);

// kCorrupt for what is not well-formed, kUnsupported for a document type definition.
Result<Description> ReadDescription(const std::filesystem::path& path);

// "scan_x32_y64.raw", "series_x10.raw": the names that the camera's software gives.
std::vector<ScanShapeEvidence> ShapesOfName(const std::string& name);

}  // namespace penstock::ingest::empad

#endif  // PENSTOCK_INGEST_FORMATS_EMPAD_EMPAD_XML_H_
