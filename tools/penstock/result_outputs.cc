#include "tools/penstock/result_outputs.h"

#include <fmt/format.h>

#include "penstock/base/file.h"

namespace penstock::tools {

namespace fs = std::filesystem;

namespace {

Status MakeParent(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? Status::Ok() : CreateDirectories(parent);
}

}  // namespace

ImageShape ShapeOfImage(const std::vector<int64_t>& shape) {
  if (shape.size() == 1) return {1, shape[0]};
  return {shape[shape.size() - 2], shape.back()};
}

Result<ResultOutputs> ResultOutputs::Prepare(const std::string& out, bool single, bool pictures) {
  ResultOutputs outputs;
  outputs.pictures_ = pictures;
  if (fs::path(out).extension() == ".npy") {
    if (!single) {
      return Error::InvalidArgument(fmt::format("one .npy file can't hold all results: {}", out))
          .Advice("give --out a folder or the beginning of the file names");
    }
    outputs.single_ = out;
    PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.single_));
  } else if (fs::is_directory(out) || out.ends_with('/')) {
    outputs.prefix_ = (fs::path(out) / "").string();
    PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.prefix_));
  } else {
    outputs.prefix_ = out + "_";
    PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.prefix_));
  }
  return outputs;
}

Status ResultOutputs::Array(const std::string& name, const ResultArray& array) {
  const fs::path path = single_.empty() ? fs::path(prefix_ + name + ".npy") : single_;
  PENSTOCK_RETURN_IF_ERROR(WriteResult(path, array));
  written_.push_back(path.string());
  return Status::Ok();
}

Status ResultOutputs::Picture(const std::string& name, const std::vector<int64_t>& shape,
                              const std::vector<double>& values, const PictureOptions& options) {
  if (!pictures_) return Status::Ok();
  const fs::path path = PicturePath(name);
  PENSTOCK_RETURN_IF_ERROR(WritePicture(path, ShapeOfImage(shape), values, options));
  written_.push_back(path.string());
  return Status::Ok();
}

Status ResultOutputs::Vectors(const std::string& name, const ResultArray& rows,
                              const ResultArray& columns, const std::string& title) {
  if (!pictures_) return Status::Ok();
  const fs::path path = PicturePath(name);
  PENSTOCK_RETURN_IF_ERROR(
      WriteVectorPicture(path, ShapeOfImage(rows.shape), rows.doubles(), columns.doubles(), title));
  written_.push_back(path.string());
  return Status::Ok();
}

fs::path ResultOutputs::PicturePath(const std::string& name) const {
  if (!single_.empty()) return fs::path(single_).replace_extension(".png");
  return prefix_ + name + ".png";
}

}  // namespace penstock::tools
