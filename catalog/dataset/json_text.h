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

// Never throws; refuses nesting deeper than 64 levels and objects of more than 1024
// members. `name_for_errors` is a file.
Result<Json> ParseJson(std::string_view text, const std::filesystem::path& name_for_errors);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_JSON_TEXT_H_
