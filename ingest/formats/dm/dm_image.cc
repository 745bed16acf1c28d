#include "ingest/formats/dm/dm_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace penstock::ingest::dm {

namespace {

using gatan::TagKind;
using gatan::TagNode;

constexpr size_t kMostDimensions = 8;
constexpr size_t kListedImages = 12;

std::set<int64_t> Thumbnails(const TagNode& root) {
  std::set<int64_t> indices;
  const TagNode* list = root.Child("Thumbnails");
  if (list == nullptr) return indices;
  for (const TagNode& thumbnail : list->children) {
    const TagNode* index = thumbnail.Child("ImageIndex");
    if (index == nullptr) continue;
    if (const auto number = index->Integer()) indices.insert(*number);
  }
  return indices;
}

std::vector<int64_t> Dimensions(const TagNode* node) {
  std::vector<int64_t> dimensions;
  if (node == nullptr || node->children.size() > kMostDimensions) return {};
  for (const TagNode& child : node->children) {
    const auto size = child.Integer();
    if (!size || *size < 1) return {};
    dimensions.push_back(*size);
  }
  return dimensions;
}

std::string ListText(const std::vector<DmImage>& images) {
  std::string text;
  for (size_t i = 0; i < images.size() && i < kListedImages; ++i) {
    text += fmt::format("{}{}{}", i == 0 ? "" : ", ", images[i].Text(),
                        images[i].is_thumbnail ? " (thumbnail)" : "");
  }
  if (images.size() > kListedImages) {
    text += fmt::format(" and {} more", images.size() - kListedImages);
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::string DmImage::Text() const {
  std::string text = fmt::format("image {}", index);
  if (!name.empty()) text += fmt::format(" '{}'", name);
  text += " (";
  for (const int64_t size : dimensions) text += fmt::format("{} x ", size);
  if (!dimensions.empty()) text.resize(text.size() - 2);
  return text + DataTypeName(data_type) + ")";
}

std::optional<ElementType> ElementTypeOf(int64_t data_type) {
  switch (data_type) {
    case 1:
      return ElementType::kInt16;
    case 2:
      return ElementType::kFloat32;
    case 6:
    case 14:  // a boolean in a byte
      return ElementType::kUint8;
    case 7:
      return ElementType::kInt32;
    case 9:
      return ElementType::kInt8;
    case 10:
      return ElementType::kUint16;
    case 11:
      return ElementType::kUint32;
    case 12:
      return ElementType::kFloat64;
    case 39:
      return ElementType::kInt64;
    case 40:
      return ElementType::kUint64;
    default:
      return std::nullopt;
  }
}

std::string DataTypeName(int64_t data_type) {
  if (const auto type = ElementTypeOf(data_type)) return std::string(ZarrDataType(*type));
  switch (data_type) {
    case 3:
      return "complex64";
    case 13:
      return "complex128";
    case 5:
    case 27:
    case 28:
      return "packed complex";
    case 8:
    case 23:
      return "colour";
    default:
      return fmt::format("data type {}", data_type);
  }
}

std::vector<DmImage> ListImages(const gatan::TagTree& tree) {
  std::vector<DmImage> images;
  const TagNode* list = tree.root.Child("ImageList");
  if (list == nullptr) return images;
  const std::set<int64_t> thumbnails = Thumbnails(tree.root);
  for (size_t i = 0; i < list->children.size(); ++i) {
    const TagNode& node = list->children[i];
    const TagNode* data = node.Find({"ImageData", "Data"});
    const TagNode* type = node.Find({"ImageData", "DataType"});
    if (data == nullptr || type == nullptr || !type->Integer()) continue;
    DmImage image;
    image.index = i;
    image.node = &node;
    if (const TagNode* name = node.Child("Name")) image.name = name->text;
    image.is_thumbnail = thumbnails.contains(static_cast<int64_t>(i));
    image.data_type = *type->Integer();
    image.dimensions = Dimensions(node.Find({"ImageData", "Dimensions"}));
    if (image.dimensions.empty()) continue;
    image.data_offset = data->offset;
    if (data->kind == TagKind::kArray) image.data_bytes = data->count * data->element_bytes;
    images.push_back(std::move(image));
  }
  return images;
}

Result<DmImage> SelectImage(const std::vector<DmImage>& images, const std::string& choice,
                            const std::filesystem::path& path) {
  if (!choice.empty()) {
    for (const DmImage& image : images) {
      if (choice == std::to_string(image.index)) return image;
    }
    for (const DmImage& image : images) {
      if (choice == image.name) return image;
    }
    return Error::InvalidArgument(fmt::format("the file has no image '{}'", choice))
        .In(path.string())
        .Expected("the number or the name of an image")
        .Found(ListText(images))
        .Advice("choose one of these with --dataset-path");
  }
  const DmImage* largest = nullptr;
  for (const DmImage& image : images) {
    if (image.is_thumbnail || !ElementTypeOf(image.data_type) || image.dimensions.size() < 2) {
      continue;
    }
    if (largest == nullptr || image.data_bytes > largest->data_bytes) largest = &image;
  }
  if (largest != nullptr) return *largest;
  // The kind of what there is decides on the message that follows for it.
  for (const DmImage& image : images) {
    if (!image.is_thumbnail) return image;
  }
  return Error::Unsupported("the file holds no image that can be ingested")
      .In(path.string())
      .Expected("an image in ImageList that is no thumbnail")
      .Found(ListText(images));
}

}  // namespace penstock::ingest::dm
