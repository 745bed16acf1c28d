// JSON as penstock writes it: two-way readable by people and machines. Lists stay on one line,
// lists of objects have one object per line.

#ifndef PENSTOCK_DATASET_JSON_TEXT_H_
#define PENSTOCK_DATASET_JSON_TEXT_H_

#include <filesystem>
#include <string>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock {

// Bytes that are not UTF-8 become U+FFFD.
std::string JsonText(const Json& json);

// Refuses nesting deeper than 64 levels and objects of more than 1024 members: what a parser, and
// whoever walks its tree, must not be given. `name_for_errors` is a file.
Status CheckJsonLimits(std::string_view text, const std::filesystem::path& name_for_errors);

// Never throws; within the limits of CheckJsonLimits.
Result<Json> ParseJson(std::string_view text, const std::filesystem::path& name_for_errors);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_JSON_TEXT_H_
