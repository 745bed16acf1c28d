// Zarr's metadata files as JSON, whatever stands in them.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_METADATA_JSON_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_METADATA_JSON_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::zarr {

// An object. Refuses more than 16 MiB, 64 levels and 8192 members of an object; consolidated
// metadata, which repeats what the other files say, is left out.
Result<Json> ReadMetadataFile(const std::filesystem::path& path);

// Null where `json` is no object or has no such member.
const Json& Member(const Json& json, const char* name);
// Non-negative integers; nothing where it is no list of these.
std::optional<std::vector<uint64_t>> Sizes(const Json& json);
// JSON for a message, at most some 80 bytes.
std::string ShortText(const Json& json);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_METADATA_JSON_H_
