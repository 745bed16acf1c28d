// The tags of Gatan's files: DM3, DM4 and the .gtg of a K2 IS acquisition share one grammar.
// docs/formats/dm.md has it.
//
// Nothing in the file is trusted: every length is held against the file's size before it is used,
// the nesting and the number of tags have limits, and large arrays (pixels) are not read but
// described by their place in the file.

#ifndef PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TREE_H_
#define PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TREE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::ingest::gatan {

// The file's numbers of types, as they stand in a tag's description of its value.
enum class TagType : uint32_t {
  kInt16 = 2,
  kInt32 = 3,
  kUint16 = 4,
  kUint32 = 5,
  kFloat32 = 6,
  kFloat64 = 7,
  kBoolean = 8,
  kInt8 = 9,    // a character in the older descriptions
  kUint8 = 10,  // an octet
  kInt64 = 11,
  kUint64 = 12,
  kStruct = 15,
  kString = 18,
  kArray = 20,
};

// Bytes of a number of this type, 0 for what is no number.
size_t TagTypeBytes(uint32_t type);
std::string TagTypeName(uint32_t type);

using TagNumber = std::variant<int64_t, uint64_t, double>;

enum class TagKind : uint8_t { kGroup, kNumber, kNumbers, kText, kArray };

struct TagNode {
  std::string name;  // UTF-8; "" for the members of a list
  TagKind kind = TagKind::kGroup;
  std::vector<TagNode> children;  // of a group, in file order

  std::vector<TagNumber> numbers;  // one, the fields of a struct, or a short array
  std::string text;                // UTF-8
  // The value in the file. Arrays: type of an element (kStruct for an array of structs) and count.
  uint32_t type = 0;
  uint64_t count = 0;
  uint64_t element_bytes = 0;
  uint64_t offset = 0;

  const TagNode* Child(std::string_view child_name) const;
  // Follows names downward; null where there is no such tag. "#3" takes the fourth child.
  const TagNode* Find(std::initializer_list<std::string_view> names) const;
  // Absent where the tag is not a single number.
  std::optional<double> Number() const;
  std::optional<int64_t> Integer() const;  // also absent where it is not integral or beyond 2^53
};

struct TagTree {
  uint32_t version = 0;  // 3 or 4
  bool little_endian = true;
  TagNode root;
};

// True when `head`, the first bytes of a file, starts like a tag file: version, byte order and a
// root group whose first entry is plausible. 38 bytes are looked at.
bool LooksLikeTagFile(std::span<const std::byte> head);

Result<TagTree> ReadTagTree(int fd, uint64_t file_bytes, const std::filesystem::path& path);

// "Group/Name = value" per tag, as text for the sidecar; arrays as their type and place. What does
// not fit in `limit` bytes is counted in the last line.
std::string TagTreeText(const TagNode& node, size_t limit);

}  // namespace penstock::ingest::gatan

#endif  // PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TREE_H_
