// The header of an .npy file: a Python dictionary literal of which exactly one form is legal.

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "penstock/base/file.h"
#include "penstock/base/npy.h"

namespace penstock {

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr uint64_t kMaxArrayBytes = uint64_t{1} << 62;

std::string Printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 60)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  return "'" + shown + (text.size() > 60 ? "...'" : "'");
}

// Scans the dictionary literal. Every Take* leaves the position behind what it took.
class LiteralScanner {
 public:
  LiteralScanner(std::string_view text, uint64_t file_offset) : text_(text), base_(file_offset) {}

  bool Take(char expected) {
    SkipSpace();
    if (position_ >= text_.size() || text_[position_] != expected) return false;
    ++position_;
    return true;
  }

  bool Peek(char expected) {
    SkipSpace();
    return position_ < text_.size() && text_[position_] == expected;
  }

  // 'text' or "text", without escapes: no legal header has any.
  std::optional<std::string_view> TakeString() {
    SkipSpace();
    if (position_ >= text_.size()) return std::nullopt;
    const char quote = text_[position_];
    if (quote != '\'' && quote != '"') return std::nullopt;
    const size_t end = text_.find(quote, position_ + 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view string = text_.substr(position_ + 1, end - position_ - 1);
    if (string.find('\\') != std::string_view::npos) return std::nullopt;
    position_ = end + 1;
    return string;
  }

  std::optional<bool> TakeBoolean() {
    SkipSpace();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(position_, word.size()) == word) {
        position_ += word.size();
        return value;
      }
    }
    return std::nullopt;
  }

  // A decimal number below 2^62; Python 2 wrote a trailing L.
  std::optional<int64_t> TakeInteger() {
    SkipSpace();
    const size_t start = position_;
    int64_t value = 0;
    while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') {
      if (value > (int64_t{1} << 58)) return std::nullopt;
      value = value * 10 + (text_[position_] - '0');
      ++position_;
    }
    if (position_ == start) return std::nullopt;
    if (position_ < text_.size() && text_[position_] == 'L') ++position_;
    return value;
  }

  bool AtEnd() {
    SkipSpace();
    return position_ == text_.size();
  }

  uint64_t offset() const { return base_ + position_; }
  std::string_view rest() const { return text_.substr(position_); }

 private:
  void SkipSpace() {
    while (position_ < text_.size() && std::strchr(" \t\n\r", text_[position_]) != nullptr &&
           text_[position_] != '\0') {
      ++position_;
    }
  }

  std::string_view text_;
  uint64_t base_;
  size_t position_ = 0;
};

Error HeaderError(const LiteralScanner& scanner, const std::filesystem::path& path,
                  std::string expected) {
  return Error::Corrupt("the NPY header is malformed")
      .In(path)
      .AtOffset(scanner.offset())
      .Expected(std::move(expected))
      .Found(scanner.rest().empty() ? "the end of the header" : Printable(scanner.rest()));
}

Status ParseDescription(LiteralScanner& scanner, const std::filesystem::path& path,
                        NpyHeader& header) {
  const uint64_t offset = scanner.offset();
  if (scanner.Peek('[')) {
    return Error::Unsupported("the array has records instead of numbers")
        .In(path)
        .AtOffset(offset)
        .Expected("one number per element")
        .Found(Printable(scanner.rest()));
  }
  const std::optional<std::string_view> text = scanner.TakeString();
  if (!text) return HeaderError(scanner, path, "a type string such as '<u2'");
  if (*text == "|b1") {
    header.is_boolean = true;
    header.element_type = ElementType::kUint8;
    return {};
  }
  std::string name(*text);
  if (!name.empty() && name[0] == '>') {
    header.big_endian = true;
    name[0] = '<';
  }
  // Without a byte-order mark NumPy would mean the byte order of the machine that reads.
  const bool marked = !name.empty() && (name[0] == '<' || name[0] == '|');
  Result<ElementType> type =
      marked ? ParseElementType(name) : Result<ElementType>(Error::InvalidArgument(""));
  if (!type.ok()) {
    return Error::Unsupported("elements of this type cannot be stored")
        .In(path)
        .AtOffset(offset)
        .Expected("integers of 1 to 8 bytes, float32, float64, complex64, complex128 or bool")
        .Found(Printable(*text));
  }
  header.element_type = *type;
  if (ElementSize(*type) == 1) header.big_endian = false;
  return {};
}

Status ParseShape(LiteralScanner& scanner, const std::filesystem::path& path, NpyHeader& header) {
  if (!scanner.Take('(')) return HeaderError(scanner, path, "a tuple of axis lengths");
  while (!scanner.Take(')')) {
    if (header.shape.size() == kMaxNpyAxes) {
      return HeaderError(scanner, path, "at most " + std::to_string(kMaxNpyAxes) + " axes");
    }
    const std::optional<int64_t> length = scanner.TakeInteger();
    if (!length) return HeaderError(scanner, path, "an axis length");
    header.shape.push_back(*length);
    const bool comma = scanner.Take(',');
    if (!comma && (header.shape.size() == 1 || !scanner.Peek(')'))) {
      return HeaderError(scanner, path, "','");
    }
  }
  return {};
}

Status ParseDictionary(std::string_view literal, uint64_t file_offset,
                       const std::filesystem::path& path, NpyHeader& header) {
  LiteralScanner scanner(literal, file_offset);
  if (!scanner.Take('{')) return HeaderError(scanner, path, "'{'");
  bool seen_descr = false;
  bool seen_order = false;
  bool seen_shape = false;
  while (!scanner.Take('}')) {
    const std::optional<std::string_view> key = scanner.TakeString();
    if (!key || !scanner.Take(':')) return HeaderError(scanner, path, "'key': value");
    if (*key == "descr" && !seen_descr) {
      seen_descr = true;
      PENSTOCK_RETURN_IF_ERROR(ParseDescription(scanner, path, header));
    } else if (*key == "fortran_order" && !seen_order) {
      seen_order = true;
      const std::optional<bool> value = scanner.TakeBoolean();
      if (!value) return HeaderError(scanner, path, "True or False");
      header.fortran_order = *value;
    } else if (*key == "shape" && !seen_shape) {
      seen_shape = true;
      PENSTOCK_RETURN_IF_ERROR(ParseShape(scanner, path, header));
    } else {
      return HeaderError(scanner, path, "the keys 'descr', 'fortran_order' and 'shape' once each");
    }
    if (!scanner.Take(',') && !scanner.Peek('}')) return HeaderError(scanner, path, "',' or '}'");
  }
  if (!seen_descr || !seen_order || !seen_shape) {
    return HeaderError(scanner, path, "the keys 'descr', 'fortran_order' and 'shape'");
  }
  if (!scanner.AtEnd()) return HeaderError(scanner, path, "nothing but spaces after '}'");
  return {};
}

Status ComputeSize(const std::filesystem::path& path, NpyHeader& header) {
  const uint64_t limit = kMaxArrayBytes / ElementSize(header.element_type);
  header.element_count = 1;
  bool empty = false;
  for (const int64_t length : header.shape) empty = empty || length == 0;
  for (const int64_t length : header.shape) {
    if (empty) break;
    if (static_cast<uint64_t>(length) > limit / header.element_count) {
      return Error::Corrupt("the shape in the NPY header is larger than any file")
          .In(path)
          .Expected("at most 2^62 bytes");
    }
    header.element_count *= static_cast<uint64_t>(length);
  }
  if (empty) header.element_count = 0;
  header.data_bytes = header.element_count * ElementSize(header.element_type);
  return {};
}

uint64_t LittleEndian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  return value;
}

Error EndsTooEarly(const std::filesystem::path& path, uint64_t expected, uint64_t found) {
  return Error::Corrupt("the NPY header is cut off")
      .In(path)
      .AtOffset(found)
      .Expected(std::to_string(expected) + " bytes of header")
      .Found(std::to_string(found));
}

}  // namespace

Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> head,
                                 const std::filesystem::path& path_for_errors) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (text.substr(0, kMagic.size()) != kMagic) {
    return Error::Corrupt("this is not an NPY file")
        .In(path_for_errors)
        .AtOffset(0)
        .Expected("'\\x93NUMPY'")
        .Found(Printable(text.substr(0, kMagic.size())));
  }
  if (head.size() < 10) return EndsTooEarly(path_for_errors, 10, head.size());
  NpyHeader header;
  header.major_version = std::to_integer<int>(head[6]);
  if (header.major_version < 1 || header.major_version > 3 || head[7] != std::byte{0}) {
    return Error::Unsupported("this version of the NPY format is not known")
        .In(path_for_errors)
        .AtOffset(6)
        .Expected("1.0, 2.0 or 3.0")
        .Found(std::to_string(header.major_version) + "." +
               std::to_string(std::to_integer<int>(head[7])));
  }
  const size_t length_bytes = header.major_version == 1 ? 2 : 4;
  const uint64_t literal_start = 8 + length_bytes;
  if (head.size() < literal_start) return EndsTooEarly(path_for_errors, literal_start, head.size());
  const uint64_t literal_bytes = LittleEndian(head.subspan(8, length_bytes));
  if (literal_bytes > kMaxNpyHeaderBytes) {
    return Error::Corrupt("the NPY header is too long to be one")
        .In(path_for_errors)
        .AtOffset(8)
        .Expected("at most " + std::to_string(kMaxNpyHeaderBytes) + " bytes")
        .Found(std::to_string(literal_bytes));
  }
  header.data_offset = literal_start + literal_bytes;
  if (head.size() < header.data_offset) {
    return EndsTooEarly(path_for_errors, header.data_offset, head.size());
  }
  PENSTOCK_RETURN_IF_ERROR(ParseDictionary(text.substr(literal_start, literal_bytes), literal_start,
                                           path_for_errors, header));
  PENSTOCK_RETURN_IF_ERROR(ComputeSize(path_for_errors, header));
  return header;
}

Result<NpyHeader> ReadNpyHeader(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  std::vector<std::byte> head(kMaxNpyHeaderBytes + 12);
  PENSTOCK_ASSIGN_OR_RETURN(const size_t size, ReadSome(fd.get(), 0, head, path));
  return ParseNpyHeader(std::span(head).first(size), path);
}

Result<std::string> MakeNpyHeader(ElementType type, std::span<const int64_t> shape,
                                  size_t alignment) {
  if (shape.size() > kMaxNpyAxes) {
    return Error::InvalidArgument("an NPY file cannot have that many axes")
        .Expected("at most " + std::to_string(kMaxNpyAxes))
        .Found(std::to_string(shape.size()));
  }
  std::string literal =
      "{'descr': '" + std::string(NumpyTypeString(type)) + "', 'fortran_order': False, 'shape': (";
  for (const int64_t length : shape) {
    if (length < 0) {
      return Error::InvalidArgument("an axis has a negative length").Found(std::to_string(length));
    }
    literal += std::to_string(length) + (shape.size() == 1 ? "," : ", ");
  }
  if (shape.size() > 1) literal.resize(literal.size() - 2);
  literal += "), }";
  constexpr size_t kBeforeLiteral = 10;
  const size_t unpadded = kBeforeLiteral + literal.size() + 1;
  literal.append((alignment - unpadded % alignment) % alignment, ' ');
  literal += '\n';
  std::string header(kMagic);
  header += {'\1', '\0', static_cast<char>(literal.size() & 0xff),
             static_cast<char>(literal.size() >> 8)};
  return header + literal;
}

}  // namespace penstock
