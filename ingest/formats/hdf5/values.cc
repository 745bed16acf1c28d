// Attributes and small datasets as JSON.

#include <fmt/format.h>

#include "ingest/formats/hdf5/container.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr size_t kLongestText = 1 << 20;

// Text that is not UTF-8 is taken as Latin-1.
std::string Utf8(std::string_view text) {
  const auto follows = [&](size_t at, size_t count) {
    if (at + count >= text.size()) return false;
    for (size_t i = 1; i <= count; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return false;
    }
    return true;
  };
  bool valid = true;
  for (size_t i = 0; i < text.size() && valid;) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t more = c < 0x80                ? 0
                        : c >= 0xC2 && c < 0xE0 ? 1
                        : c >= 0xE0 && c < 0xF0 ? 2
                        : c >= 0xF0 && c < 0xF5 ? 3
                                                : 4;
    valid = more == 0 || (more < 4 && follows(i, more));
    i += more + 1;
  }
  if (valid) return std::string(text);
  std::string converted;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (c < 0x80) {
      converted += raw;
    } else {
      converted += static_cast<char>(0xC0 | c >> 6);
      converted += static_cast<char>(0x80 | (c & 0x3F));
    }
  }
  return converted;
}

// `read` reads all elements of the given memory type into memory.
template <typename Read>
std::optional<Json> ReadValue(hid_t type, hid_t space, uint64_t max_elements, const Read& read) {
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  if (kind != H5S_SCALAR && kind != H5S_SIMPLE) return std::nullopt;
  const hssize_t points = H5Sget_simple_extent_npoints(space);
  if (points < 0 || static_cast<uint64_t>(points) > max_elements) return std::nullopt;
  const auto count = static_cast<size_t>(points);
  Json list = Json::array();
  const H5T_class_t type_class = H5Tget_class(type);
  const size_t size = H5Tget_size(type);
  if (type_class == H5T_STRING && H5Tis_variable_str(type) > 0) {
    const Hdf5Handle memory(H5Tcopy(type), H5Tclose);
    std::vector<char*> texts(count, nullptr);
    if (count > 0 && !read(memory.get(), texts.data())) return std::nullopt;
    for (const char* text : texts) {
      list.push_back(text == nullptr ? std::string()
                                     : Utf8(std::string_view(text, strnlen(text, kLongestText))));
    }
    H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, texts.data());
  } else if (type_class == H5T_STRING) {
    if (size == 0 || size > kLongestText || count * size > kLongestText) return std::nullopt;
    std::vector<char> texts(count * size);
    const Hdf5Handle memory(H5Tcopy(type), H5Tclose);
    if (count > 0 && !read(memory.get(), texts.data())) return std::nullopt;
    const bool spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    for (size_t i = 0; i < count; ++i) {
      std::string_view text(texts.data() + i * size, strnlen(texts.data() + i * size, size));
      while (spaces && text.ends_with(' ')) text.remove_suffix(1);
      list.push_back(Utf8(text));
    }
  } else if (type_class == H5T_FLOAT) {
    std::vector<double> numbers(count);
    if (count > 0 && !read(H5T_NATIVE_DOUBLE, numbers.data())) return std::nullopt;
    for (const double number : numbers) list.push_back(number);
  } else if (type_class == H5T_ENUM && size == 1) {
    std::vector<signed char> numbers(count);
    const Hdf5Handle memory(H5Tcopy(type), H5Tclose);
    if (count > 0 && !read(memory.get(), numbers.data())) return std::nullopt;
    for (const signed char number : numbers) list.push_back(number != 0);
  } else if (type_class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE) {
    std::vector<unsigned long long> numbers(count);
    if (count > 0 && !read(H5T_NATIVE_ULLONG, numbers.data())) return std::nullopt;
    for (const auto number : numbers) list.push_back(number);
  } else if (type_class == H5T_INTEGER) {
    std::vector<long long> numbers(count);
    if (count > 0 && !read(H5T_NATIVE_LLONG, numbers.data())) return std::nullopt;
    for (const auto number : numbers) list.push_back(number);
  } else {
    return std::nullopt;
  }
  if (kind == H5S_SCALAR && list.size() == 1) return list.front();
  return list;
}

}  // namespace

std::optional<Json> Object::Attribute(const std::string& name, uint64_t max_elements) const {
  const Hdf5Session session;
  if (H5Aexists(handle_.get(), name.c_str()) <= 0) return std::nullopt;
  const Hdf5Handle attribute(H5Aopen(handle_.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute.valid()) return std::nullopt;
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
  return ReadValue(type.get(), space.get(), max_elements, [&](hid_t memory, void* to) {
    return H5Aread(attribute.get(), memory, to) >= 0;
  });
}

std::optional<Json> Object::Value(uint64_t max_elements) const {
  const Hdf5Session session;
  if (is_group_) return std::nullopt;
  const Hdf5Handle type(H5Dget_type(handle_.get()), H5Tclose);
  const Hdf5Handle space(H5Dget_space(handle_.get()), H5Sclose);
  const Hdf5Handle properties(H5Dget_create_plist(handle_.get()), H5Pclose);
  // External storage and virtual datasets would have the library open whatever file they name.
  if (H5Pget_external_count(properties.get()) != 0) return std::nullopt;
  if (H5Pget_layout(properties.get()) == H5D_VIRTUAL) return std::nullopt;
  return ReadValue(type.get(), space.get(), max_elements, [&](hid_t memory, void* to) {
    return H5Dread(handle_.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) >= 0;
  });
}

std::vector<std::string> Object::AttributeNames() const {
  const Hdf5Session session;
  std::vector<std::string> names;
  const auto collect = [](hid_t /*object*/, const char* name, const H5A_info_t* /*info*/,
                          void* data) -> herr_t {
    auto& all = *static_cast<std::vector<std::string>*>(data);
    if (all.size() >= 10000) return 1;
    try {
      all.emplace_back(name);
    } catch (const std::exception&) {
      return -1;
    }
    return 0;
  };
  hsize_t at = 0;
  H5Aiterate2(handle_.get(), H5_INDEX_NAME, H5_ITER_INC, &at, collect, &names);
  return names;
}

std::optional<std::string> Object::TextAttribute(const std::string& name) const {
  const auto value = Attribute(name, 16);
  return value ? AsText(*value) : std::nullopt;
}

std::optional<double> Object::NumberAttribute(const std::string& name) const {
  const auto value = Attribute(name, 16);
  return value ? AsNumber(*value) : std::nullopt;
}

std::optional<std::string> Object::Text() const {
  const auto value = Value(16);
  return value ? AsText(*value) : std::nullopt;
}

std::optional<double> Object::Number() const {
  const auto value = Value(16);
  return value ? AsNumber(*value) : std::nullopt;
}

std::vector<double> Object::Numbers(uint64_t max_elements) const {
  const Hdf5Session session;
  if (is_group_ || !IsNumeric()) return {};
  const Hdf5Handle space(H5Dget_space(handle_.get()), H5Sclose);
  const Hdf5Handle properties(H5Dget_create_plist(handle_.get()), H5Pclose);
  const hssize_t points = H5Sget_simple_extent_npoints(space.get());
  if (points < 1 || static_cast<uint64_t>(points) > max_elements ||
      H5Pget_external_count(properties.get()) != 0 ||
      H5Pget_layout(properties.get()) == H5D_VIRTUAL) {
    return {};
  }
  std::vector<double> numbers(static_cast<size_t>(points));
  if (H5Dread(handle_.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()) <
      0) {
    return {};
  }
  return numbers;
}

std::vector<uint64_t> Object::Shape() const {
  const Hdf5Session session;
  if (is_group_ || !handle_.valid()) return {};
  const Hdf5Handle space(H5Dget_space(handle_.get()), H5Sclose);
  const int rank = space.valid() ? H5Sget_simple_extent_ndims(space.get()) : -1;
  if (rank < 1 || rank > H5S_MAX_RANK) return {};
  std::vector<hsize_t> sizes(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space.get(), sizes.data(), nullptr);
  return {sizes.begin(), sizes.end()};
}

bool Object::IsNumeric() const {
  const Hdf5Session session;
  if (is_group_) return false;
  const Hdf5Handle type(H5Dget_type(handle_.get()), H5Tclose);
  const H5T_class_t type_class = H5Tget_class(type.get());
  return type_class == H5T_INTEGER || type_class == H5T_FLOAT || type_class == H5T_ENUM;
}

std::string Object::TypeText() const {
  const Hdf5Session session;
  if (is_group_) return "group";
  const Hdf5Handle type(H5Dget_type(handle_.get()), H5Tclose);
  const size_t bits = 8 * H5Tget_size(type.get());
  const bool big = bits > 8 && H5Tget_order(type.get()) == H5T_ORDER_BE;
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return fmt::format("{}{}int{}", big ? "big-endian " : "",
                         H5Tget_sign(type.get()) == H5T_SGN_NONE ? "u" : "", bits);
    case H5T_FLOAT:
      return fmt::format("{}float{}", big ? "big-endian " : "", bits);
    case H5T_ENUM:
      return "enumeration";
    case H5T_STRING:
      return "text";
    case H5T_COMPOUND:
      return "compound";
    case H5T_VLEN:
      return "lists of varying length";
    default:
      return "another type";
  }
}

}  // namespace penstock::ingest::hdf5
