// NumPy .npy files (format versions 1.0, 2.0 and 3.0).
//
// Source of the format: numpy.lib.format, "NPY format". A file is the magic "\x93NUMPY", two
// version bytes, the length of the header (u16 in version 1, u32 in 2 and 3, little-endian), a
// Python dictionary literal with exactly the keys 'descr', 'fortran_order' and 'shape', padded with
// spaces and a newline to a multiple of 64 bytes, and the elements.
//
// Thread-safe: all functions are pure or touch only the file they are given.

#ifndef PENSTOCK_BASE_NPY_H_
#define PENSTOCK_BASE_NPY_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock {

// Longer headers are refused: with at most 32 axes a header has a few hundred bytes.
inline constexpr uint64_t kMaxNpyHeaderBytes = 65536;
inline constexpr size_t kMaxNpyAxes = 32;

struct NpyHeader {
  int major_version = 1;
  ElementType element_type = ElementType::kUint8;
  bool is_boolean = false;  // descr '|b1': one byte per element, 0 or 1; element_type is kUint8
  bool big_endian = false;
  bool fortran_order = false;  // the first axis varies fastest
  std::vector<int64_t> shape;  // slow axis first; empty for a single number
  uint64_t data_offset = 0;    // bytes before the first element
  uint64_t element_count = 1;  // product of shape
  uint64_t data_bytes = 0;     // element_count * element size; never above 2^62
};

// Parses the header at the start of `head`, which must hold it whole (kMaxNpyHeaderBytes + 12 bytes
// always do; a shorter file is passed whole). kCorrupt for anything that is not an NPY header,
// kUnsupported for element types that penstock does not store (objects, records, strings, float16).
Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> head,
                                 const std::filesystem::path& path_for_errors);

// The header of a file. Whether the file is as long as the header says is not checked here: compare
// data_offset + data_bytes with its size.
Result<NpyHeader> ReadNpyHeader(const std::filesystem::path& path);

// An array in memory: C order, little-endian whatever the file's order was.
struct NpyArray {
  ElementType element_type = ElementType::kUint8;
  bool is_boolean = false;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

// Reads a whole array of at most `limit` bytes of elements (kUnsupported above); the file must have
// exactly the length that its header says (kCorrupt otherwise). Nothing is allocated before that is
// known.
Result<NpyArray> ReadNpy(const std::filesystem::path& path, uint64_t limit);

// The bytes before the elements of a version 1.0 file, a multiple of `alignment` (itself a multiple
// of 64, at most 4096). For writers that stream. kInvalidArgument for a negative axis or more than
// kMaxNpyAxes axes.
Result<std::string> MakeNpyHeader(ElementType type, std::span<const int64_t> shape,
                                  size_t alignment = 64);

// Writes `bytes` (C order, little-endian) under a temporary name, syncs and renames to `path`; an
// existing file is replaced. kInvalidArgument when the number of bytes is not that of the shape.
Status WriteNpy(const std::filesystem::path& path, ElementType type, std::span<const int64_t> shape,
                std::span<const std::byte> bytes);

}  // namespace penstock

#endif  // PENSTOCK_BASE_NPY_H_
