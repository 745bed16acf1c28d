// The formats that penstock knows, and the choice among them.

#ifndef PENSTOCK_INGEST_REGISTRY_H_
#define PENSTOCK_INGEST_REGISTRY_H_

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

// In order of detection.
std::span<const SourceFormat* const> AllFormats();

// kInvalidArgument with the list of names when there is no such format.
Result<const SourceFormat*> FindFormat(std::string_view name);

struct DetectedFormat {
  const SourceFormat* format = nullptr;  // never null in a result
  Confidence confidence = Confidence::kNo;
  std::string evidence;  // "starts with 'MQ1,'"
};

// By content. kUnsupported, with what was seen, when no format recognises the file. A directory is
// offered to the formats too, without any head.
Result<DetectedFormat> DetectSource(const std::filesystem::path& path);
Result<const SourceFormat*> DetectFormat(const std::filesystem::path& path);

// What DetectFormat went by: "starts with 'MQ1,'".
Result<std::string> DetectionEvidence(const std::filesystem::path& path);

// Opens `path` with the named format, or with the detected one when `format` is empty.
Result<std::unique_ptr<FrameSource>> OpenSource(const std::filesystem::path& path,
                                                std::string_view format,
                                                const OpenOptions& options);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_REGISTRY_H_
