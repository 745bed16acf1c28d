// The operator's profile: facts that no vendor file knows (sample, instrument).

#include <fmt/format.h>

#include "penstock/base/file.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kMaxProfileBytes = uint64_t{1} << 20;

bool IsPlainValue(const Json& value) {
  return value.is_string() || value.is_number() || value.is_boolean();
}

bool IsValue(const Json& value) {
  if (!value.is_array()) return IsPlainValue(value);
  for (const Json& element : value) {
    if (!IsPlainValue(element)) return false;
  }
  return !value.empty();
}

// The entry's own name may be there or not.
std::string RelativePath(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  constexpr std::string_view kEntry = "entry1/";
  if (path.starts_with(kEntry)) path.remove_prefix(kEntry.size());
  return std::string(path);
}

bool IsNexusPath(std::string_view path) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@-";
  return !path.empty() && !path.ends_with('/') && path.find("//") == std::string_view::npos &&
         path.find("..") == std::string_view::npos &&
         path.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

Result<std::vector<MetadataFact>> ReadProfile(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxProfileBytes));
  const Json profile = Json::parse(text, nullptr, false);
  if (!profile.is_object()) {
    return Error::InvalidArgument("the profile is not a JSON object")
        .In(path.string())
        .Expected(R"({"sample/name": "...", "sample/thickness": {"value": 2e-8, "units": "m"}})")
        .Found(profile.is_discarded() ? "text that is not JSON" : profile.type_name());
  }
  std::vector<MetadataFact> facts;
  for (const auto& [key, entry] : profile.items()) {
    MetadataFact fact;
    fact.path = RelativePath(key);
    fact.evidence = fmt::format("operator profile {}", path.filename().string());
    const bool with_units = entry.is_object();
    fact.value = with_units ? entry.value("value", Json()) : entry;
    if (with_units && entry.contains("units") && entry["units"].is_string()) {
      fact.units = entry["units"].get<std::string>();
    }
    if (!IsNexusPath(fact.path) || !IsValue(fact.value)) {
      return Error::InvalidArgument("the profile has an entry that is no NeXus field")
          .In(path.string())
          .At(fmt::format("entry '{}'", key))
          .Expected("a path such as 'sample/name' with a number, string, boolean or list of them")
          .Found(entry.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80));
    }
    facts.push_back(std::move(fact));
  }
  return facts;
}

}  // namespace penstock::ingest
