#include "ingest/formats/zarr/metadata_json.h"

#include <array>

#include "penstock/base/file.h"

namespace penstock::ingest::zarr {

namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{16} << 20;
constexpr int kMaxLevels = 64;
// An ordered object searches linearly for every key that it takes.
constexpr size_t kMaxMembers = 8192;
constexpr size_t kMaxShortText = 80;

struct Refused {
  const char* what;
};

// What the parser calls at every key and bracket: whether to keep what follows.
class Filter {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth >= kMaxLevels) throw Refused{"the JSON is nested too deeply"};
        members_[static_cast<size_t>(depth) + 1] = 0;
        return true;
      case Json::parse_event_t::key:
        if (depth == 1) leaving_out_ = parsed == "consolidated_metadata";
        if (leaving_out_) return depth != 1;
        if (++members_[static_cast<size_t>(depth)] > kMaxMembers) {
          throw Refused{"the JSON has an object with too many members"};
        }
        return true;
      default:
        return true;
    }
  }

 private:
  std::array<size_t, kMaxLevels + 2> members_{};  // by depth
  bool leaving_out_ = false;
};

}  // namespace

Result<Json> ReadMetadataFile(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxFileBytes));
  Json json;
  try {
    Filter filter;
    json = Json::parse(text, [&filter](int depth, Json::parse_event_t event, Json& parsed) {
      return filter(depth, event, parsed);
    });
  } catch (const Refused& refused) {
    return Error::Corrupt(refused.what).In(path.string());
  } catch (const Json::parse_error& failure) {
    return Error::Corrupt("the metadata is not JSON")
        .In(path.string())
        .AtOffset(failure.byte)
        .Found(failure.what())
        .Advice("check whether the directory was copied completely");
  } catch (const Json::exception& failure) {
    return Error::Corrupt("the metadata is not JSON").In(path.string()).Found(failure.what());
  }
  if (!json.is_object()) {
    return Error::Corrupt("the metadata is no JSON object")
        .In(path.string())
        .Expected("{ ... }")
        .Found(ShortText(json));
  }
  return json;
}

const Json& Member(const Json& json, const char* name) {
  static const Json kNull;
  if (!json.is_object()) return kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

std::optional<std::vector<uint64_t>> Sizes(const Json& json) {
  if (!json.is_array() || json.size() > 64) return std::nullopt;
  std::vector<uint64_t> sizes;
  for (const Json& item : json) {
    if (!item.is_number_unsigned()) return std::nullopt;
    sizes.push_back(item.get<uint64_t>());
  }
  return sizes;
}

std::string ShortText(const Json& json) {
  if (json.is_null()) return "none";
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kMaxShortText) text = text.substr(0, kMaxShortText) + "...";
  return text;
}

}  // namespace penstock::ingest::zarr
