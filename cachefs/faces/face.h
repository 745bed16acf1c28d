// Face: a file that the mount shows and the store does not have, made of a generated header and the
// frames of a dataset's blocks. Immutable.

#ifndef PENSTOCK_CACHEFS_FACES_FACE_H_
#define PENSTOCK_CACHEFS_FACES_FACE_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>

#include "penstock/dataset/faces.h"

namespace penstock::cachefs {

enum class FaceKind : uint8_t {
  kNexus,         // data.nxs
  kNpy,           // data.npy
  kRaw,           // data.raw
  kChecksumList,  // checksums.xxh128 without data.nxs, which is another file here than in the store
};

struct Face {
  FaceKind kind = FaceKind::kRaw;
  std::string dataset;  // path relative to the store
  std::string generation;
  std::string id;  // 32 digits: two faces with one id have the same bytes
  uint64_t header_bytes = 0;
  uint64_t total_bytes = 0;
  FaceLayout layout;  // of the list of checksums: unused, it is all header
};

std::string FaceName(FaceKind kind);

// For people and programs: the value of kFaceAttribute.
std::string DescribeFace(const Face& face);

// A face as it is shown: its attributes are those of the dataset at this moment.
struct ShownFace {
  std::shared_ptr<const Face> face;
  struct stat status {};
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_FACE_H_
