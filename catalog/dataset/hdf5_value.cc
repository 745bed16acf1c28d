#include "catalog/dataset/hdf5_value.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace penstock {

namespace {

Error NotAValue(std::string_view name, const char* what) {
  return Error::InvalidArgument(std::string("HDF5 has no value like this: ") + what)
      .Found("'" + std::string(name) + "'");
}

// The extents of a nested list, from its first elements; Flatten holds the others against them.
std::vector<hsize_t> ExtentsOf(const Json& json) {
  std::vector<hsize_t> extents;
  for (const Json* node = &json; node->is_array(); node = &node->front()) {
    extents.push_back(node->size());
    if (node->empty()) break;
  }
  return extents;
}

bool Flatten(const Json& json, const std::vector<hsize_t>& extents, size_t axis,
             std::vector<const Json*>& flat) {
  if (axis == extents.size()) {
    flat.push_back(&json);
    return json.is_primitive() && !json.is_null();
  }
  if (!json.is_array() || json.size() != extents[axis]) return false;
  return std::all_of(json.begin(), json.end(), [&](const Json& element) {
    return Flatten(element, extents, axis + 1, flat);
  });
}

template <typename T>
std::vector<std::byte> Numbers(const std::vector<const Json*>& flat) {
  std::vector<std::byte> bytes;
  for (const Json* value : flat) {
    const T number = value->get<T>();
    const auto* raw = reinterpret_cast<const std::byte*>(&number);
    bytes.insert(bytes.end(), raw, raw + sizeof number);
  }
  return bytes;
}

// What h5py makes of bool: an enumeration of 8 bits.
Hdf5Handle BooleanType() {
  Hdf5Handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
  const int8_t no = 0;
  const int8_t yes = 1;
  H5Tenum_insert(type.get(), "FALSE", &no);
  H5Tenum_insert(type.get(), "TRUE", &yes);
  return type;
}

Hdf5Handle StringType() {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

bool Every(const std::vector<const Json*>& flat, bool (Json::*holds)() const noexcept) {
  return std::all_of(flat.begin(), flat.end(),
                     [holds](const Json* value) { return (value->*holds)(); });
}

}  // namespace

Hdf5Handle Hdf5ElementType(ElementType type) {
  const auto copy = [](hid_t base) { return Hdf5Handle(H5Tcopy(base), H5Tclose); };
  switch (type) {
    case ElementType::kUint8:
      return copy(H5T_STD_U8LE);
    case ElementType::kInt8:
      return copy(H5T_STD_I8LE);
    case ElementType::kUint16:
      return copy(H5T_STD_U16LE);
    case ElementType::kInt16:
      return copy(H5T_STD_I16LE);
    case ElementType::kUint32:
      return copy(H5T_STD_U32LE);
    case ElementType::kInt32:
      return copy(H5T_STD_I32LE);
    case ElementType::kUint64:
      return copy(H5T_STD_U64LE);
    case ElementType::kInt64:
      return copy(H5T_STD_I64LE);
    case ElementType::kFloat32:
      return copy(H5T_IEEE_F32LE);
    case ElementType::kFloat64:
      return copy(H5T_IEEE_F64LE);
    case ElementType::kComplex64:
    case ElementType::kComplex128:
      break;
  }
  const size_t size = ElementSize(type);
  const hid_t part = size == 8 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
  Hdf5Handle complex(H5Tcreate(H5T_COMPOUND, size), H5Tclose);
  H5Tinsert(complex.get(), "r", 0, part);
  H5Tinsert(complex.get(), "i", size / 2, part);
  return complex;
}

Result<Hdf5Value> Hdf5Value::From(std::string_view name, const Json& json) {
  const std::vector<hsize_t> extents = ExtentsOf(json);
  std::vector<const Json*> flat;
  if (extents.size() > H5S_MAX_RANK || !Flatten(json, extents, 0, flat)) {
    return NotAValue(name, "not a scalar and not a rectangular list of scalars");
  }
  Hdf5Value value;
  value.space_ = Hdf5Handle(
      extents.empty() ? H5Screate(H5S_SCALAR)
                      : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
      H5Sclose);
  if (Every(flat, &Json::is_string)) {
    value.type_ = StringType();
    for (const Json* text : flat) value.strings_.push_back(text->get<std::string>());
    for (const std::string& text : value.strings_) value.pointers_.push_back(text.c_str());
  } else if (Every(flat, &Json::is_boolean)) {
    value.type_ = BooleanType();
    value.numbers_ = Numbers<int8_t>(flat);
  } else if (Every(flat, &Json::is_number_integer) && name.ends_with("_indices")) {
    value.type_ = Hdf5ElementType(ElementType::kUint32);
    value.numbers_ = Numbers<uint32_t>(flat);
  } else if (Every(flat, &Json::is_number_integer)) {
    const bool beyond_signed = std::any_of(flat.begin(), flat.end(), [](const Json* number) {
      return number->is_number_unsigned() && number->get<uint64_t>() > uint64_t{INT64_MAX};
    });
    value.type_ = Hdf5ElementType(beyond_signed ? ElementType::kUint64 : ElementType::kInt64);
    value.numbers_ = beyond_signed ? Numbers<uint64_t>(flat) : Numbers<int64_t>(flat);
  } else if (Every(flat, &Json::is_number)) {
    value.type_ = Hdf5ElementType(ElementType::kFloat64);
    value.numbers_ = Numbers<double>(flat);
  } else {
    return NotAValue(name, "a list of scalars of different kinds");
  }
  if (!value.type_.valid() || !value.space_.valid()) {
    return Error::Internal("HDF5 refuses a type or a shape").At(std::string(name));
  }
  return value;
}

const void* Hdf5Value::data() const {
  if (!pointers_.empty()) return pointers_.data();
  return numbers_.data();
}

}  // namespace penstock
