// JSON values of the sidecar as HDF5 datasets and attributes.

#ifndef PENSTOCK_DATASET_HDF5_VALUE_H_
#define PENSTOCK_DATASET_HDF5_VALUE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/hdf5_handle.h"

namespace penstock {

// The little-endian type in the file; complex numbers as the compound {r, i}.
Hdf5Handle Hdf5ElementType(ElementType type);

// A number, boolean, string or rectangular list of one of these, ready for H5Dwrite or H5Awrite.
// Types follow the NXDL where JSON cannot say them: names ending in _indices are uint32.
class Hdf5Value {
 public:
  static Result<Hdf5Value> From(std::string_view name, const Json& json);

  hid_t type() const { return type_.get(); }    // in the file and in memory
  hid_t space() const { return space_.get(); }  // scalar or simple
  // Valid as long as the value.
  const void* data() const;

 private:
  Hdf5Value() = default;

  Hdf5Handle type_;
  Hdf5Handle space_;
  std::vector<std::byte> numbers_;
  std::vector<std::string> strings_;
  std::vector<const char*> pointers_;  // into strings_
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_HDF5_VALUE_H_
