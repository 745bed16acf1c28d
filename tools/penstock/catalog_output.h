// What the commands of the catalog have in common: datasets as JSON and as text.

#ifndef PENSTOCK_TOOLS_CATALOG_OUTPUT_H_
#define PENSTOCK_TOOLS_CATALOG_OUTPUT_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/catalog/catalog.h"
#include "penstock/dataset/geometry.h"

namespace penstock::tools {

std::string ScanText(const ScanShape& scan);        // "256 x 256", "1000" for a series
std::string SignalText(const SignalShape& signal);  // "256 x 256"
// "2026-11-20 12:00" of an ISO 8601 time; the text itself where it is none.
std::string ShortTime(std::string_view time);
// Now, in UTC: "2026-11-20T12:00:00+00:00".
std::string TimeNow();

nlohmann::ordered_json ScanToJson(const ScanShape& scan);
nlohmann::ordered_json VerifiedToJson(const std::optional<catalog::VerifyRecord>& record);
nlohmann::ordered_json UnreadableToJson(const std::vector<catalog::UnreadableDataset>& unreadable);

// Indented JSON and a line end on standard output; text that is not UTF-8 is replaced.
void PrintDocument(const nlohmann::ordered_json& json);

// Where a path given as STORE leads: the store at or above it, and the prefix of the paths below.
struct StorePlace {
  std::filesystem::path store;
  std::string prefix;  // "" or "2026/session_7/"
};
Result<StorePlace> FindStorePlace(const std::filesystem::path& path);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_CATALOG_OUTPUT_H_
