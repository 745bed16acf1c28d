#include "catalog/dataset/json_text.h"

#include <string_view>
#include <vector>

namespace penstock {

namespace {

constexpr int kMaximumDepth = 64;
constexpr size_t kMaximumKeys = 1024;

struct TooManyKeys {};

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

// The parser of the library recurses for each level and so do all who walk the tree.
bool IsTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > kMaximumDepth) return true;
  }
  return false;
}

}  // namespace

std::string JsonText(const Json& json) {
  std::string text;
  Append(json, 0, text);
  return text + "\n";
}

Result<Json> ParseJson(std::string_view text, const std::filesystem::path& name_for_errors) {
  if (IsTooDeep(text)) {
    return Error::Corrupt("the JSON is nested too deeply")
        .In(name_for_errors)
        .Expected("at most " + std::to_string(kMaximumDepth) + " levels");
  }
  // An ordered object searches linearly for every key that it takes.
  std::vector<size_t> keys{0};
  const auto count_keys = [&keys](int /*depth*/, Json::parse_event_t event, Json& /*parsed*/) {
    if (event == Json::parse_event_t::object_start) keys.push_back(0);
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && ++keys.back() > kMaximumKeys) throw TooManyKeys();
    return true;
  };
  try {
    return Json::parse(text, count_keys);
  } catch (const TooManyKeys&) {
    return Error::Corrupt("the JSON has an object with too many members")
        .In(name_for_errors)
        .Expected("at most " + std::to_string(kMaximumKeys));
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
