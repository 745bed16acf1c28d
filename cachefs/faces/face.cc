#include "cachefs/faces/face.h"

#include <fmt/format.h>

namespace penstock::cachefs {

std::string FaceName(FaceKind kind) {
  switch (kind) {
    case FaceKind::kNexus:
      return kNexusFaceName;
    case FaceKind::kNpy:
      return kNpyFaceName;
    case FaceKind::kRaw:
      return kRawFaceName;
    case FaceKind::kChecksumList:
      break;
  }
  return "checksums.xxh128";
}

std::string DescribeFace(const Face& face) {
  if (face.kind == FaceKind::kChecksumList) {
    return fmt::format("checksums of the files in the store but {}; dataset {}", kNexusFaceName,
                       face.generation);
  }
  const char* const what = face.kind == FaceKind::kNexus ? "contiguous HDF5"
                           : face.kind == FaceKind::kNpy ? "NumPy"
                                                         : "frames alone";
  return fmt::format("{}; frames from byte {} on, out of {} blocks; dataset {}", what,
                     face.header_bytes, face.layout.block_count(), face.generation);
}

}  // namespace penstock::cachefs
