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
  const std::string extension = fs::path(out).extension().string();
  if (extension == ".nxs" || extension == ".zarr") {
    outputs.container_ = extension == ".nxs" ? Container::kNexus : Container::kZarr;
    outputs.single_ = out;
    outputs.prefix_ = fs::path(out).replace_extension().string() + "_";
    PENSTOCK_RETURN_IF_ERROR(MakeParent(outputs.single_));
  } else if (extension == ".npy") {
    if (!single) {
      return Error::InvalidArgument(fmt::format("one .npy file can't hold all results: {}", out))
          .Advice(
              "give --out a folder, the beginning of the file names, or a file NAME.nxs or "
              "NAME.zarr");
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
  if (container_ != Container::kNone) {
    arrays_.push_back({name, array});
    return Status::Ok();
  }
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

Status ResultOutputs::Finish(const Provenance& provenance) {
  if (container_ == Container::kNexus) {
    PENSTOCK_RETURN_IF_ERROR(WriteNexusResults(single_, arrays_, provenance));
    written_.insert(written_.begin(), single_.string());
  } else if (container_ == Container::kZarr) {
    PENSTOCK_RETURN_IF_ERROR(WriteZarrResults(single_, arrays_, provenance));
    written_.insert(written_.begin(), single_.string());
  } else {
    const fs::path path = single_.empty() ? fs::path(prefix_ + "provenance.json")
                                          : fs::path(single_).replace_extension(".provenance.json");
    const std::string text =
        provenance.ToJson().dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    PENSTOCK_RETURN_IF_ERROR(WriteFileAtomically(path, text));
    written_.push_back(path.string());
  }
  return Status::Ok();
}

fs::path ResultOutputs::PicturePath(const std::string& name) const {
  if (prefix_.empty() && !single_.empty()) return fs::path(single_).replace_extension(".png");
  return prefix_ + name + ".png";
}

}  // namespace penstock::tools
