// Faces: a sealed dataset as one contiguous file of another kind, made of a generated header and
// the frames of the raw blocks in scan order. Nothing of the payload is copied to make one.
//
//   data.nxs   the NeXus tree of nexus.json as HDF5 (superblock version 0: any reader), the frames
//   as
//              one contiguous dataset, the last object of the file
//   data.npy   NumPy, header of 4096 bytes
//   data.raw   the frames alone
//
// Everything here is computed from nexus.json alone, but for the small arrays that data.nxs embeds:
// the caller puts them into their places in the header. Thread-safe.

#ifndef PENSTOCK_DATASET_FACES_H_
#define PENSTOCK_DATASET_FACES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

inline constexpr char kNexusFaceName[] = "data.nxs";
inline constexpr char kNpyFaceName[] = "data.npy";
inline constexpr char kRawFaceName[] = "data.raw";

// The frames of data.nxs begin at a multiple of this.
inline constexpr uint64_t kNexusFaceAlignment = uint64_t{1} << 20;
// A tree with more than this (frame statistics of some 4 million frames) has no contiguous
// data.nxs.
inline constexpr uint64_t kLargestNexusFaceHeader = uint64_t{256} << 20;
inline constexpr uint64_t kNpyFaceHeader = 4096;

// What the files of penstock mounts that are faces say of themselves in an extended attribute.
inline constexpr char kFaceAttribute[] = "user.penstock.face";

// A run of bytes of a face, and where they are.
struct FacePart {
  int64_t block = -1;        // -1: the header
  uint64_t file_offset = 0;  // in the block file or the header
  uint64_t bytes = 0;
  bool operator==(const FacePart&) const = default;
};

// Where the bytes of a face are. The blocks in their order are the frames in scan order: a block
// holds whole scan rows or a part of one row.
class FaceLayout {
 public:
  FaceLayout() = default;
  // Precondition: the grid is valid for the shape.
  FaceLayout(const DatasetShape& shape, const BlockGrid& grid, uint64_t header_bytes)
      : shape_(shape), grid_(grid), header_bytes_(header_bytes) {}

  const DatasetShape& shape() const { return shape_; }
  const BlockGrid& grid() const { return grid_; }
  uint64_t header_bytes() const { return header_bytes_; }
  uint64_t total_bytes() const { return header_bytes_ + shape_.payload_bytes(); }
  int64_t block_count() const { return grid_.block_count(); }
  // [offset, offset + size), cut at the end of the face, in order and without gaps; adjoining parts
  // are of different files.
  std::vector<FacePart> PartsOf(uint64_t offset, uint64_t size) const;

 private:
  DatasetShape shape_;
  BlockGrid grid_;
  uint64_t header_bytes_ = 0;
};

// kNpyFaceHeader bytes.
Result<std::string> MakeNpyFaceHeader(const DatasetShape& shape);

// The bytes before the frames of data.nxs, from the tree alone: a multiple of kNexusFaceAlignment
// that is larger than whatever HDF5 needs for the tree. kUnsupported above kLargestNexusFaceHeader,
// kCorrupt for a tree without exactly one link to blocks of this shape.
Result<uint64_t> NexusFaceHeaderBytes(const Json& tree, const DatasetShape& shape);

// A small array of the tree, embedded in the header.
struct EmbeddedArray {
  std::string path;  // of the file in the dataset, relative; it is the plain array
  uint64_t header_offset = 0;
  uint64_t bytes = 0;
};

struct NexusFaceHeader {
  FileDescriptor file;  // in memory, NexusFaceHeaderBytes long, zero where the arrays belong
  std::vector<EmbeddedArray> arrays;
};

// The same tree gives the same bytes. Needs no memory for the payload or the arrays.
Result<NexusFaceHeader> MakeNexusFaceHeader(const Json& tree, const DatasetShape& shape);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_FACES_H_
