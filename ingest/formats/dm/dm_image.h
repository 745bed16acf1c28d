// The images of a DM3 or DM4 file, as its tags describe them. docs/formats/dm.md.

#ifndef PENSTOCK_INGEST_FORMATS_DM_DM_IMAGE_H_
#define PENSTOCK_INGEST_FORMATS_DM_DM_IMAGE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/gatan_tags/tag_tree.h"
#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::dm {

struct DmImage {
  size_t index = 0;  // in ImageList, from 0, thumbnails included
  const gatan::TagNode* node = nullptr;
  std::string name;
  bool is_thumbnail = false;
  int64_t data_type = 0;
  std::vector<int64_t> dimensions;  // as in the file: fast axis first
  uint64_t data_offset = 0;
  uint64_t data_bytes = 0;  // of the array in the file

  std::string Text() const;  // "image 1 'HAADF' (512 x 512 float32)"
};

// Real numeric types; nothing for complex, colour and unknown ones.
std::optional<ElementType> ElementTypeOf(int64_t data_type);
std::string DataTypeName(int64_t data_type);

// All images of the file; those without pixels or dimensions are left out. The nodes point into
// `tree`.
std::vector<DmImage> ListImages(const gatan::TagTree& tree);

// The image that `choice` names (its number, or its name), or the largest that is no thumbnail and
// can be read. An error lists what there is.
Result<DmImage> SelectImage(const std::vector<DmImage>& images, const std::string& choice,
                            const std::filesystem::path& path);

}  // namespace penstock::ingest::dm

#endif  // PENSTOCK_INGEST_FORMATS_DM_DM_IMAGE_H_
