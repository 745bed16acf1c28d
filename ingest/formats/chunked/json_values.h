// Attributes as texts and numbers, however a writer wrapped them.

#ifndef PENSTOCK_INGEST_FORMATS_CHUNKED_JSON_VALUES_H_
#define PENSTOCK_INGEST_FORMATS_CHUNKED_JSON_VALUES_H_

#include <optional>
#include <string>
#include <vector>

#include "penstock/dataset/description.h"

namespace penstock::ingest::chunked {

std::optional<std::string> AsText(const Json& value);  // a text, also in a list of one
std::optional<double> AsNumber(const Json& value);     // finite; also as text or in a list of one
std::vector<std::string> AsTexts(const Json& value);
std::vector<double> AsNumbers(const Json& value);

}  // namespace penstock::ingest::chunked

#endif  // PENSTOCK_INGEST_FORMATS_CHUNKED_JSON_VALUES_H_
