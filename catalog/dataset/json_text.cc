#include "catalog/dataset/json_text.h"

#include <array>
#include <string_view>

namespace penstock {

namespace {

constexpr int kMaximumDepth = 64;
constexpr size_t kMaximumKeys = 1024;

std::string Compact(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsListOfObjects(const Json& json) {
  return json.is_array() && !json.empty() && json.front().is_object();
}

void Append(const Json& json, size_t indent, std::string& text) {
  const std::string inner(indent + 1, ' ');
  const char* separator = "\n";
  if (json.is_object() && !json.empty()) {
    text += '{';
    for (const auto& [key, value] : json.items()) {
      text += separator + inner + Compact(Json(key)) + ": ";
      Append(value, indent + 1, text);
      separator = ",\n";
    }
    text += "\n" + std::string(indent, ' ') + '}';
  } else if (IsListOfObjects(json)) {
    text += '[';
    for (const Json& element : json) {
      text += separator + inner + Compact(element);
      separator = ",\n";
    }
    text += "\n" + std::string(indent, ' ') + ']';
  } else {
    text += Compact(json);
  }
}

struct Limits {
  bool too_deep = false;
  bool too_many_keys = false;
};

// The parser of the library recurses for each level and so do all who walk the tree; an ordered
// object searches linearly for every key that it takes. Looked at beforehand, in a fraction of the
// time that parsing takes: a callback of the parser would double that. What this makes of a text
// that is not JSON does not matter, as long as it is not less than the parser gets to see.
Limits LimitsOf(std::string_view text) {
  std::array<size_t, kMaximumDepth + 1> colons{};  // in each of the open objects and lists
  size_t depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        for (++i; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\') ++i;
        }
        break;
      case '{':
      case '[':
        if (depth == kMaximumDepth) return {.too_deep = true};
        colons[++depth] = 0;
        break;
      case '}':
      case ']':
        if (depth > 0) --depth;
        break;
      case ':':
        if (++colons[depth] > kMaximumKeys) return {.too_many_keys = true};
        break;
      default:
        break;
    }
  }
  return {};
}

}  // namespace

std::string JsonText(const Json& json) {
  std::string text;
  Append(json, 0, text);
  return text + "\n";
}

Status CheckJsonLimits(std::string_view text, const std::filesystem::path& name_for_errors) {
  const Limits limits = LimitsOf(text);
  if (limits.too_deep) {
    return Error::Corrupt("the JSON is nested too deeply")
        .In(name_for_errors)
        .Expected("at most " + std::to_string(kMaximumDepth) + " levels");
  }
  if (limits.too_many_keys) {
    return Error::Corrupt("the JSON has an object with too many members")
        .In(name_for_errors)
        .Expected("at most " + std::to_string(kMaximumKeys));
  }
  return {};
}

Result<Json> ParseJson(std::string_view text, const std::filesystem::path& name_for_errors) {
  PENSTOCK_RETURN_IF_ERROR(CheckJsonLimits(text, name_for_errors));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& failure) {
    return Error::Corrupt("this is not JSON")
        .In(name_for_errors)
        .AtOffset(failure.byte)
        .Found(failure.what());
  } catch (const Json::exception& failure) {
    return Error::Corrupt("this is not JSON").In(name_for_errors).Found(failure.what());
  }
}

}  // namespace penstock
