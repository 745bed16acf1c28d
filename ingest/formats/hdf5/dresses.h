// How each dress of HDF5 is recognised and read. All are called with the library's lock held.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_DRESSES_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_DRESSES_H_

#include <string>

#include "ingest/formats/hdf5/selection.h"

namespace penstock::ingest::hdf5 {

enum class Dress : uint8_t { kPlain, kHspy, kVelox, kPy4dstem, kEmd, kDectris, kNexus };

struct Recognised {
  Dress dress = Dress::kPlain;
  std::string evidence;
};
// By content, in the order of the most specific sign.
Recognised Recognise(const Object& root);

// `dataset_path`: the user's choice among what the dress finds; empty for the dress's own rule.
Result<Selection> SelectHspy(const Object& root, const std::string& dataset_path);
Result<Selection> SelectVelox(const Object& root, const std::string& dataset_path);
Result<Selection> SelectEmd(const Object& root, const std::string& dataset_path);
Result<Selection> SelectPy4dstem(const Object& root, const std::string& dataset_path);
Result<Selection> SelectDectris(const Object& root, const std::string& dataset_path);
Result<Selection> SelectNexus(const Object& root, const std::string& dataset_path);

// One of several by the user's path, which may be that of the dataset or of the group around it;
// or the only one. Null with an error where there is none such, several, or none at all.
struct Choice {
  size_t index = 0;
  bool found = false;
};
// `found` is false where the user's path is none of them: then it is any dataset of the file.
Result<Choice> Choose(const Object& root, const std::vector<Object>& candidates,
                      const std::string& dataset_path);

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_DRESSES_H_
