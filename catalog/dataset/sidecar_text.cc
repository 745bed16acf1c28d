#include "catalog/dataset/sidecar_text.h"

#include <simdjson.h>

#include <mutex>
#include <string>
#include <utility>

#include "catalog/dataset/json_text.h"

namespace penstock {

namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Of a value whose type has been looked at.
template <typename T>
T As(const element& value) {
  T typed{};
  [[maybe_unused]] const simdjson::error_code none = value.get<T>().get(typed);
  return typed;
}

// The same as Json::parse makes of it.
Json TreeOf(const element& value) {
  switch (value.type()) {
    case element_type::ARRAY: {
      const auto elements = As<simdjson::dom::array>(value);
      Json::array_t list;
      list.reserve(elements.size());
      for (const element one : elements) list.push_back(TreeOf(one));
      return list;
    }
    case element_type::OBJECT: {
      const auto members = As<simdjson::dom::object>(value);
      Json object = Json::object();
      for (const auto& [key, member] : members) {
        object[std::string(key)] = TreeOf(member);  // of equal keys the last one counts
      }
      return object;
    }
    case element_type::INT64: {
      const auto number = As<int64_t>(value);
      return number < 0 ? Json(number) : Json(static_cast<uint64_t>(number));
    }
    case element_type::UINT64:
      return As<uint64_t>(value);
    case element_type::DOUBLE:
      return As<double>(value);
    case element_type::STRING:
      return std::string(As<std::string_view>(value));
    case element_type::BOOL:
      return As<bool>(value);
    default:
      return nullptr;
  }
}

// The last of equal keys; nothing where `value` is no object or has no such member.
std::optional<element> Member(const std::optional<element>& value, std::string_view name) {
  std::optional<element> found;
  if (!value || !value->is_object()) return found;
  const auto members = As<simdjson::dom::object>(*value);
  for (const auto& [key, member] : members) {
    if (key == name) found = member;
  }
  return found;
}

std::optional<Json> PenstockCollection(const Json& nexus) {
  if (!nexus.is_object()) return std::nullopt;
  const auto entry = nexus.find("entry1");
  if (entry == nexus.end() || !entry->is_object()) return std::nullopt;
  const auto penstock = entry->find("penstock");
  if (penstock == entry->end() || !penstock->is_object()) return std::nullopt;
  return *penstock;
}

// Halves of surrogate pairs are the one thing that the quick parser takes and the other doesn't.
bool HasSurrogateEscapes(std::string_view text) {
  return text.find("\\ud") != std::string_view::npos || text.find("\\uD") != std::string_view::npos;
}

}  // namespace

struct SidecarText::State {
  std::optional<Json> penstock;
  std::once_flag once;
  std::string text;  // until the tree is made
  std::filesystem::path file;
  Json tree;
};

Result<SidecarText> SidecarText::Parse(std::string_view text, const std::filesystem::path& file) {
  auto state = std::make_shared<State>();
  PENSTOCK_RETURN_IF_ERROR(CheckJsonLimits(text, file));
  simdjson::dom::parser parser;
  element root;
  if (!HasSurrogateEscapes(text) &&
      parser.parse(text.data(), text.size()).get(root) == simdjson::SUCCESS) {
    const auto collection = Member(Member(root, "entry1"), "penstock");
    if (collection && collection->is_object()) state->penstock = TreeOf(*collection);
    state->text = text;
    state->file = file;
  } else {
    // What is wrong, and where, is the other parser's to say.
    PENSTOCK_ASSIGN_OR_RETURN(state->tree, ParseJson(text, file));
    state->penstock = PenstockCollection(state->tree);
    std::call_once(state->once, [] {});
  }
  return SidecarText(std::move(state));
}

const std::optional<Json>& SidecarText::penstock() const { return state_->penstock; }

const Json& SidecarText::tree() const {
  std::call_once(state_->once, [this] {
    // Parse has seen that this is JSON.
    auto tree = ParseJson(state_->text, state_->file);
    if (tree.ok()) state_->tree = std::move(tree).value();
    state_->text = std::string();
  });
  return state_->tree;
}

}  // namespace penstock
