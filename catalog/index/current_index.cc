#include "catalog/index/current_index.h"

#include <algorithm>
#include <string_view>

#include "penstock/base/file.h"
#include "penstock/dataset/description.h"

namespace penstock::catalog {

namespace {

constexpr uint64_t kMaxFileBytes = 4096;
constexpr std::string_view kIndexPrefix = "index-";

std::filesystem::path FileOf(const StoreFolder& store) { return store.index() / "current.json"; }

bool IsIndexName(std::string_view name) {
  if (!name.starts_with(kIndexPrefix)) return false;
  name.remove_prefix(kIndexPrefix.size());
  return !name.empty() && name.size() < 20 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<CurrentIndex> ReadCurrentIndex(const StoreFolder& store) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(FileOf(store), kMaxFileBytes));
  CurrentIndex current;
  int64_t schema = 0;
  try {
    const Json json = Json::parse(text);
    schema = json.at("schema");
    current.directory = json.at("index");
    current.sequence = json.at("sequence");
  } catch (const Json::exception&) {
    return Error::Corrupt("the catalog's current.json is malformed").In(FileOf(store));
  }
  if (schema != kSchemaVersion) {
    return Error::Unsupported("the catalog has another schema")
        .In(FileOf(store))
        .Expected(std::to_string(kSchemaVersion))
        .Found(std::to_string(schema));
  }
  if (!IsIndexName(current.directory)) {
    return Error::Corrupt("the catalog's current.json is malformed").In(FileOf(store));
  }
  return current;
}

Status WriteCurrentIndex(const StoreFolder& store, const CurrentIndex& current) {
  const Json json{
      {"schema", kSchemaVersion}, {"index", current.directory}, {"sequence", current.sequence}};
  return WriteFileAtomically(FileOf(store), json.dump() + "\n");
}

}  // namespace penstock::catalog
