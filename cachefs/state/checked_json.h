// Small JSON files of a cache directory that tell when they were damaged: one object, with the
// digest of its other members in "checksum". All functions are thread-safe.

#ifndef PENSTOCK_CACHEFS_STATE_CHECKED_JSON_H_
#define PENSTOCK_CACHEFS_STATE_CHECKED_JSON_H_

#include <filesystem>
#include <initializer_list>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

// The object without its checksum. kNotFound where there is no file; kCorrupt where it is no
// object, is not what was written, or has members beside `members`. One without a checksum was
// written by an earlier version and is believed.
Result<Json> ReadCheckedJson(const std::filesystem::path& file,
                             std::initializer_list<std::string_view> members);

// Atomically and durably. `object` has no member "checksum".
Status WriteCheckedJson(const std::filesystem::path& file, const Json& object);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_CHECKED_JSON_H_
