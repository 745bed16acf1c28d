// Where the results of a pass go: arrays and pictures beside each other, by name.

#ifndef PENSTOCK_TOOLS_RESULT_OUTPUTS_H_
#define PENSTOCK_TOOLS_RESULT_OUTPUTS_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/result_array.h"
#include "tools/penstock/picture.h"
#include "tools/penstock/result_container.h"

namespace penstock::tools {

// The last two axes of a result; one axis is a row.
ImageShape ShapeOfImage(const std::vector<int64_t>& shape);

class ResultOutputs {
 public:
  // `out`: NAME.nxs or NAME.zarr for all arrays in one file; NAME.npy where the run has exactly one
  // array as its result (`single`); else a folder or the beginning of the file names. Folders are
  // created.
  static Result<ResultOutputs> Prepare(const std::string& out, bool single, bool pictures);

  Status Array(const std::string& name, const ResultArray& array);
  // Nothing where no pictures are wanted.
  Status Picture(const std::string& name, const std::vector<int64_t>& shape,
                 const std::vector<double>& values, const PictureOptions& options);
  Status Vectors(const std::string& name, const ResultArray& rows, const ResultArray& columns,
                 const std::string& title);
  // Once, behind all others: writes where the results come from, into the file that holds them or,
  // beside .npy files, as a JSON file.
  Status Finish(const Provenance& provenance);

  const std::vector<std::string>& written() const { return written_; }

 private:
  enum class Container : uint8_t { kNone, kNexus, kZarr };
  std::filesystem::path PicturePath(const std::string& name) const;

  std::filesystem::path single_;  // of one array, or the container
  std::string prefix_;
  Container container_ = Container::kNone;
  std::vector<NamedArray> arrays_;  // of the container, until Finish
  bool pictures_ = true;
  std::vector<std::string> written_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_RESULT_OUTPUTS_H_
