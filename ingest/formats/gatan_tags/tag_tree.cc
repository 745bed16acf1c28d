#include "ingest/formats/gatan_tags/tag_tree.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace penstock::ingest::gatan {

size_t TagTypeBytes(uint32_t type) {
  switch (static_cast<TagType>(type)) {
    case TagType::kBoolean:
    case TagType::kInt8:
    case TagType::kUint8:
      return 1;
    case TagType::kInt16:
    case TagType::kUint16:
      return 2;
    case TagType::kInt32:
    case TagType::kUint32:
    case TagType::kFloat32:
      return 4;
    case TagType::kFloat64:
    case TagType::kInt64:
    case TagType::kUint64:
      return 8;
    default:
      return 0;
  }
}

std::string TagTypeName(uint32_t type) {
  switch (static_cast<TagType>(type)) {
    case TagType::kInt16:
      return "int16";
    case TagType::kInt32:
      return "int32";
    case TagType::kUint16:
      return "uint16";
    case TagType::kUint32:
      return "uint32";
    case TagType::kFloat32:
      return "float32";
    case TagType::kFloat64:
      return "float64";
    case TagType::kBoolean:
      return "boolean";
    case TagType::kInt8:
      return "int8";
    case TagType::kUint8:
      return "uint8";
    case TagType::kInt64:
      return "int64";
    case TagType::kUint64:
      return "uint64";
    case TagType::kStruct:
      return "struct";
    case TagType::kString:
      return "string";
    case TagType::kArray:
      return "array";
  }
  return fmt::format("type {}", type);
}

const TagNode* TagNode::Child(std::string_view child_name) const {
  if (child_name.starts_with('#')) {
    size_t index = 0;
    const char* const end = child_name.data() + child_name.size();
    const auto [stop, error] = std::from_chars(child_name.data() + 1, end, index);
    if (error == std::errc() && stop == end) {
      return index < children.size() ? &children[index] : nullptr;
    }
  }
  for (const TagNode& child : children) {
    if (child.name == child_name) return &child;
  }
  return nullptr;
}

const TagNode* TagNode::Find(std::initializer_list<std::string_view> names) const {
  const TagNode* node = this;
  for (const std::string_view each : names) {
    node = node->Child(each);
    if (node == nullptr) return nullptr;
  }
  return node;
}

std::optional<double> TagNode::Number() const {
  if (kind != TagKind::kNumber || numbers.size() != 1) return std::nullopt;
  return std::visit([](auto value) { return static_cast<double>(value); }, numbers.front());
}

std::optional<int64_t> TagNode::Integer() const {
  constexpr double kLargest = 9007199254740992.0;  // 2^53
  const auto number = Number();
  if (!number || std::abs(*number) > kLargest || *number != std::floor(*number)) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*number);
}

namespace {

std::string NumberText(const TagNumber& number) {
  return std::visit([](auto value) { return fmt::format("{}", value); }, number);
}

std::string ValueText(const TagNode& node) {
  switch (node.kind) {
    case TagKind::kGroup:
      return "{}";
    case TagKind::kText:
      return node.text;
    case TagKind::kArray:
      return fmt::format("[{} x {} at offset {}]", node.count, TagTypeName(node.type), node.offset);
    case TagKind::kNumber:
    case TagKind::kNumbers:
      break;
  }
  if (node.kind == TagKind::kNumber) return NumberText(node.numbers.front());
  std::string text = "[";
  for (const TagNumber& number : node.numbers) {
    if (text.size() > 1) text += ", ";
    text += NumberText(number);
  }
  return text + "]";
}

class TextWriter {
 public:
  explicit TextWriter(size_t limit) : limit_(limit) {}

  void Write(const TagNode& node, const std::string& path) {
    size_t number = 0;
    for (const TagNode& child : node.children) {
      const std::string name = child.name.empty() ? fmt::format("#{}", number) : child.name;
      const std::string full = path.empty() ? name : path + "/" + name;
      ++number;
      if (child.kind == TagKind::kGroup && !child.children.empty()) {
        Write(child, full);
        continue;
      }
      const std::string line = full + " = " + ValueText(child) + "\n";
      if (text_.size() + line.size() > limit_) {
        ++left_out_;
      } else {
        text_ += line;
      }
    }
  }

  std::string Take() {
    if (left_out_ > 0) text_ += fmt::format("({} more tags are left out)\n", left_out_);
    return std::move(text_);
  }

 private:
  const size_t limit_;
  std::string text_;
  size_t left_out_ = 0;
};

}  // namespace

std::string TagTreeText(const TagNode& node, size_t limit) {
  TextWriter writer(limit);
  writer.Write(node, "");
  return writer.Take();
}

}  // namespace penstock::ingest::gatan
