// The parser of tag files. Recursion follows the groups, so that their depth is limited; everything
// else is bounded by the file's size and by a budget for what is kept in memory.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "ingest/formats/gatan_tags/tag_text.h"
#include "ingest/formats/gatan_tags/tag_tree.h"
#include "penstock/base/file.h"

namespace penstock::ingest::gatan {

namespace {

constexpr int kMaxDepth = 64;
constexpr uint64_t kMaxDescriptorWords = 1024;
constexpr uint64_t kMaxTextCharacters = 65536;
constexpr uint64_t kMaxShortArray = 16;  // longer arrays of numbers are only described
constexpr uint64_t kMaxKeptBytes = uint64_t{64} << 20;
constexpr size_t kWindowBytes = 65536;

constexpr uint8_t kGroupEntry = 20;
constexpr uint8_t kDataEntry = 21;

// Reads a file from front to back through a window, skipping without reading.
class FileCursor {
 public:
  FileCursor(int fd, uint64_t file_bytes, const std::filesystem::path& path)
      : fd_(fd), file_bytes_(file_bytes), path_(path), window_(kWindowBytes) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return file_bytes_ - position_; }
  const std::filesystem::path& path() const { return path_; }

  Error Damaged(std::string what, uint64_t offset, std::string expected, std::string found) const {
    return Error::Corrupt(std::move(what))
        .In(path_.string())
        .AtOffset(offset)
        .Expected(std::move(expected))
        .Found(std::move(found))
        .Advice("the file is damaged or was not copied completely; copy it again");
  }

  Status Need(uint64_t bytes, const char* what) const {
    if (bytes <= left()) return Status::Ok();
    return Damaged(fmt::format("the file ends inside {}", what), position_,
                   fmt::format("{} bytes", bytes), fmt::format("{} bytes", left()));
  }

  Status Read(std::span<std::byte> destination, const char* what) {
    PENSTOCK_RETURN_IF_ERROR(Need(destination.size(), what));
    while (!destination.empty()) {
      if (position_ < window_start_ || position_ >= window_start_ + window_size_) {
        window_start_ = position_;
        window_size_ = static_cast<size_t>(std::min<uint64_t>(kWindowBytes, left()));
        PENSTOCK_RETURN_IF_ERROR(
            ReadFully(fd_, window_start_, std::span(window_).first(window_size_), path_));
      }
      const auto at = static_cast<size_t>(position_ - window_start_);
      const size_t count = std::min(destination.size(), window_size_ - at);
      std::memcpy(destination.data(), window_.data() + at, count);
      position_ += count;
      destination = destination.subspan(count);
    }
    return Status::Ok();
  }

  Status Skip(uint64_t bytes, const char* what) {
    PENSTOCK_RETURN_IF_ERROR(Need(bytes, what));
    position_ += bytes;
    return Status::Ok();
  }

 private:
  const int fd_;
  const uint64_t file_bytes_;
  const std::filesystem::path& path_;
  std::vector<std::byte> window_;
  uint64_t window_start_ = 0;
  size_t window_size_ = 0;
  uint64_t position_ = 0;
};

template <typename T>
T Load(const std::byte* bytes, bool little_endian) {
  std::array<std::byte, sizeof(T)> own;
  std::memcpy(own.data(), bytes, sizeof(T));
  if (little_endian != (std::endian::native == std::endian::little)) std::ranges::reverse(own);
  return std::bit_cast<T>(own);
}

// Precondition: TagTypeBytes(type) > 0.
TagNumber LoadNumber(const std::byte* bytes, uint32_t type, bool little_endian) {
  switch (static_cast<TagType>(type)) {
    case TagType::kInt16:
      return int64_t{Load<int16_t>(bytes, little_endian)};
    case TagType::kInt32:
      return int64_t{Load<int32_t>(bytes, little_endian)};
    case TagType::kUint16:
      return uint64_t{Load<uint16_t>(bytes, little_endian)};
    case TagType::kUint32:
      return uint64_t{Load<uint32_t>(bytes, little_endian)};
    case TagType::kFloat32:
      return double{Load<float>(bytes, little_endian)};
    case TagType::kFloat64:
      return Load<double>(bytes, little_endian);
    case TagType::kInt8:
      return int64_t{Load<int8_t>(bytes, little_endian)};
    case TagType::kInt64:
      return Load<int64_t>(bytes, little_endian);
    case TagType::kUint64:
      return Load<uint64_t>(bytes, little_endian);
    default:
      return uint64_t{std::to_integer<uint8_t>(*bytes)};
  }
}

class TagReader {
 public:
  TagReader(int fd, uint64_t file_bytes, const std::filesystem::path& path)
      : cursor_(fd, file_bytes, path) {}

  Result<TagTree> Read() {
    TagTree tree;
    PENSTOCK_ASSIGN_OR_RETURN(tree.version, ReadBig<uint32_t>("the version"));
    if (tree.version != 3 && tree.version != 4) {
      return Error::Unsupported("this is not a tag file of version 3 or 4")
          .In(cursor_.path().string())
          .AtOffset(0)
          .Expected("version 3 or 4")
          .Found(std::to_string(tree.version));
    }
    wide_ = tree.version == 4;
    PENSTOCK_RETURN_IF_ERROR(ReadWord("the size"));  // differs between writers, tells nothing
    const uint64_t order_at = cursor_.position();
    PENSTOCK_ASSIGN_OR_RETURN(const auto order, ReadBig<uint32_t>("the byte order"));
    if (order > 1) {
      return cursor_.Damaged("not a byte order", order_at, "0 or 1", std::to_string(order));
    }
    little_endian_ = order == 1;
    tree.little_endian = little_endian_;
    PENSTOCK_RETURN_IF_ERROR(ReadGroup(tree.root, 0));
    return tree;
  }

 private:
  template <typename T>
  Result<T> ReadBig(const char* what) {
    std::array<std::byte, sizeof(T)> bytes;
    Status read = cursor_.Read(bytes, what);
    if (!read.ok()) return std::move(read).error();
    return Load<T>(bytes.data(), false);
  }

  // A count or length: 64 bits in version 4, 32 bits in version 3.
  Result<uint64_t> ReadWord(const char* what) {
    if (wide_) return ReadBig<uint64_t>(what);
    PENSTOCK_ASSIGN_OR_RETURN(const uint32_t word, ReadBig<uint32_t>(what));
    return uint64_t{word};
  }

  Status Keep(uint64_t bytes) {
    kept_bytes_ += bytes;
    if (kept_bytes_ <= kMaxKeptBytes) return Status::Ok();
    return Error::Unsupported("more tags than penstock keeps")
        .In(cursor_.path().string())
        .AtOffset(cursor_.position())
        .Expected(fmt::format("at most {} MiB of tags", kMaxKeptBytes >> 20))
        .Found("more");
  }

  Status ReadGroup(TagNode& group, int depth) {
    if (depth > kMaxDepth) {
      return cursor_.Damaged("tag groups are nested too deep", cursor_.position(),
                             fmt::format("at most {} levels", kMaxDepth), "more");
    }
    PENSTOCK_RETURN_IF_ERROR(cursor_.Skip(2, "a tag group"));  // sorted, open
    const uint64_t count_at = cursor_.position();
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t count, ReadWord("a tag group"));
    if (count > cursor_.left() / 3) {  // no entry is shorter
      return cursor_.Damaged("a tag group has more entries than the file can hold", count_at,
                             fmt::format("at most {}", cursor_.left() / 3), std::to_string(count));
    }
    group.kind = TagKind::kGroup;
    for (uint64_t i = 0; i < count; ++i) {
      PENSTOCK_RETURN_IF_ERROR(Keep(sizeof(TagNode)));
      PENSTOCK_RETURN_IF_ERROR(ReadEntry(group.children.emplace_back(), depth));
    }
    return Status::Ok();
  }

  Status ReadEntry(TagNode& node, int depth) {
    const uint64_t start = cursor_.position();
    PENSTOCK_ASSIGN_OR_RETURN(const auto kind, ReadBig<uint8_t>("a tag"));
    PENSTOCK_ASSIGN_OR_RETURN(const auto name_bytes, ReadBig<uint16_t>("a tag"));
    PENSTOCK_RETURN_IF_ERROR(Keep(name_bytes));
    std::string name(name_bytes, '\0');
    PENSTOCK_RETURN_IF_ERROR(
        cursor_.Read(std::as_writable_bytes(std::span(name)), "the name of a tag"));
    node.name = TextFromBytes(name);
    if (kind != kGroupEntry && kind != kDataEntry) {
      return cursor_.Damaged("not a tag", start, "20 (a group) or 21 (a value)",
                             std::to_string(kind));
    }
    uint64_t end = 0;
    if (wide_) {
      PENSTOCK_ASSIGN_OR_RETURN(const uint64_t length, ReadWord("a tag"));
      PENSTOCK_RETURN_IF_ERROR(cursor_.Need(length, "a tag"));
      end = cursor_.position() + length;
    }
    Status read = kind == kGroupEntry ? ReadGroup(node, depth + 1) : ReadData(node);
    if (!read.ok() && undescribed_ && wide_ && cursor_.position() <= end) {
      undescribed_ = false;  // the length tells where the next tag begins
      node.kind = TagKind::kArray;
      node.count = 0;
      return cursor_.Skip(end - cursor_.position(), "a tag");
    }
    PENSTOCK_RETURN_IF_ERROR(read);
    if (!wide_ || cursor_.position() == end) return Status::Ok();
    return cursor_.Damaged(
        fmt::format("the length of tag '{}' contradicts its contents", node.name), start,
        fmt::format("an end at offset {}", end), fmt::format("{}", cursor_.position()));
  }

  Status ReadData(TagNode& node) {
    const uint64_t start = cursor_.position();
    std::array<std::byte, 4> mark;
    PENSTOCK_RETURN_IF_ERROR(cursor_.Read(mark, "the value of a tag"));
    if (std::ranges::any_of(mark, [](std::byte byte) { return byte != std::byte{'%'}; })) {
      return cursor_.Damaged(fmt::format("tag '{}' has no value", node.name), start, "'%%%%'",
                             "other bytes");
    }
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t count, ReadWord("the type of a tag"));
    if (count == 0 || count > kMaxDescriptorWords) {
      return cursor_.Damaged(fmt::format("the type of tag '{}' cannot be described so", node.name),
                             start, fmt::format("1 to {} numbers", kMaxDescriptorWords),
                             std::to_string(count));
    }
    words_.clear();
    for (uint64_t i = 0; i < count; ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(const uint64_t word, ReadWord("the type of a tag"));
      words_.push_back(word);
    }
    descriptor_at_ = start;
    size_t used = 0;
    PENSTOCK_RETURN_IF_ERROR(ReadValue(node, used));
    if (used == words_.size()) return Status::Ok();
    return Undescribed(node);
  }

  Error Undescribed(const TagNode& node) {
    undescribed_ = true;
    std::string found;
    for (size_t i = 0; i < std::min<size_t>(words_.size(), 8); ++i) {
      found += fmt::format("{}{}", i == 0 ? "" : " ", words_[i]);
    }
    return cursor_.Damaged(fmt::format("tag '{}' is of a type that is not known", node.name),
                           descriptor_at_, "a number, struct, string or array of these", found);
  }

  // Types of the fields of a struct whose description starts at words_[used].
  Status StructFields(const TagNode& node, size_t& used, std::vector<uint32_t>& fields) {
    // Length of the name (not used by any writer), number of fields, and per field the same pair of
    // name length and type.
    if (words_.size() - used < 2) return Undescribed(node);
    const uint64_t count = words_[used + 1];
    used += 2;
    if (count > (words_.size() - used) / 2) return Undescribed(node);
    for (uint64_t i = 0; i < count; ++i, used += 2) {
      const uint64_t type = words_[used + 1];
      if (type > 32 || TagTypeBytes(static_cast<uint32_t>(type)) == 0) return Undescribed(node);
      fields.push_back(static_cast<uint32_t>(type));
    }
    return Status::Ok();
  }

  Status ReadNumber(TagNode& node, uint32_t type) {
    std::array<std::byte, 8> bytes;
    PENSTOCK_RETURN_IF_ERROR(
        cursor_.Read(std::span(bytes).first(TagTypeBytes(type)), "the value of a tag"));
    node.numbers.push_back(LoadNumber(bytes.data(), type, little_endian_));
    return Keep(sizeof(TagNumber));
  }

  Status ReadText(TagNode& node, uint64_t characters) {
    std::vector<std::byte> bytes(characters * 2);
    PENSTOCK_RETURN_IF_ERROR(cursor_.Read(bytes, "a text"));
    std::u16string text(characters, u'\0');
    for (size_t i = 0; i < characters; ++i) {
      text[i] = static_cast<char16_t>(Load<uint16_t>(bytes.data() + 2 * i, little_endian_));
    }
    if (auto utf8 = TextFromUtf16(text)) {
      node.kind = TagKind::kText;
      node.text = *std::move(utf8);
    }
    return Keep(node.text.size());
  }

  Status ReadValue(TagNode& node, size_t& used) {
    const uint64_t first = words_[used++];
    if (first > 32) return Undescribed(node);
    node.type = static_cast<uint32_t>(first);
    node.offset = cursor_.position();
    if (TagTypeBytes(node.type) > 0) {
      node.kind = TagKind::kNumber;
      return ReadNumber(node, node.type);
    }
    if (first == static_cast<uint32_t>(TagType::kStruct)) {
      std::vector<uint32_t> fields;
      PENSTOCK_RETURN_IF_ERROR(StructFields(node, used, fields));
      node.kind = TagKind::kNumbers;
      node.count = fields.size();
      for (const uint32_t field : fields) PENSTOCK_RETURN_IF_ERROR(ReadNumber(node, field));
      return Status::Ok();
    }
    if (first == static_cast<uint32_t>(TagType::kString)) {
      if (words_.size() - used < 1) return Undescribed(node);
      const uint64_t bytes = words_[used++];  // of UTF-16
      node.kind = TagKind::kArray;
      node.count = bytes / 2;
      node.element_bytes = 2;
      if (bytes % 2 == 0 && node.count <= kMaxTextCharacters) return ReadText(node, node.count);
      return cursor_.Skip(bytes, "a text");
    }
    if (first == static_cast<uint32_t>(TagType::kArray)) return ReadArray(node, used);
    return Undescribed(node);
  }

  Status ReadArray(TagNode& node, size_t& used) {
    if (words_.size() - used < 2) return Undescribed(node);
    const uint64_t type = words_[used++];
    std::vector<uint32_t> fields;
    if (type == static_cast<uint32_t>(TagType::kStruct)) {
      PENSTOCK_RETURN_IF_ERROR(StructFields(node, used, fields));
      for (const uint32_t field : fields) node.element_bytes += TagTypeBytes(field);
    } else if (type <= 32) {
      node.element_bytes = TagTypeBytes(static_cast<uint32_t>(type));
    }
    if (node.element_bytes == 0 || words_.size() - used < 1) return Undescribed(node);
    node.type = static_cast<uint32_t>(type);
    node.count = words_[used++];
    node.kind = TagKind::kArray;
    if (node.count > cursor_.left() / node.element_bytes) {
      return cursor_.Damaged(fmt::format("the file ends inside the values of tag '{}'", node.name),
                             node.offset,
                             fmt::format("{} x {} bytes", node.count, node.element_bytes),
                             fmt::format("{} bytes", cursor_.left()));
    }
    const bool is_text = type == static_cast<uint32_t>(TagType::kUint16);
    if (is_text && node.count <= kMaxTextCharacters && node.name != "Data") {
      return ReadText(node, node.count);
    }
    if (fields.empty() && !is_text && node.count > 0 && node.count <= kMaxShortArray &&
        node.name != "Data") {
      node.kind = TagKind::kNumbers;
      for (uint64_t i = 0; i < node.count; ++i) {
        PENSTOCK_RETURN_IF_ERROR(ReadNumber(node, node.type));
      }
      return Status::Ok();
    }
    return cursor_.Skip(node.count * node.element_bytes, "an array");
  }

  FileCursor cursor_;
  bool wide_ = false;
  bool little_endian_ = true;
  uint64_t kept_bytes_ = 0;
  std::vector<uint64_t> words_;  // the description of the value that is being read
  uint64_t descriptor_at_ = 0;
  bool undescribed_ = false;
};

}  // namespace

bool LooksLikeTagFile(std::span<const std::byte> head) {
  if (head.size() < 24) return false;
  const auto version = Load<uint32_t>(head.data(), false);
  if (version != 3 && version != 4) return false;
  const bool wide = version == 4;
  size_t at = wide ? 12 : 8;
  if (Load<uint32_t>(head.data() + at, false) > 1) return false;
  at += 4;
  for (const size_t flag : {at, at + 1}) {  // sorted, open
    if (std::to_integer<uint8_t>(head[flag]) > 1) return false;
  }
  at += 2;
  const size_t count_bytes = wide ? 8 : 4;
  if (head.size() < at + count_bytes) return false;
  const uint64_t count = wide ? Load<uint64_t>(head.data() + at, false)
                              : uint64_t{Load<uint32_t>(head.data() + at, false)};
  at += count_bytes;
  if (count == 0) return true;
  if (head.size() <= at) return false;
  const auto kind = std::to_integer<uint8_t>(head[at]);
  return count < (uint64_t{1} << 32) && (kind == kGroupEntry || kind == kDataEntry);
}

Result<TagTree> ReadTagTree(int fd, uint64_t file_bytes, const std::filesystem::path& path) {
  return TagReader(fd, file_bytes, path).Read();
}

}  // namespace penstock::ingest::gatan
