// NexusTreeWriter: writes the tree of nexus.json into an HDF5 file: groups, fields, attributes and
// soft links. What stands in other files (the raw blocks, the small arrays) is left to who derives
// from it.
//
// To be used while an Hdf5Session is held; not thread-safe. A tree from a foreign nexus.json never
// does harm: what HDF5 cannot hold is an error.

#ifndef PENSTOCK_DATASET_NEXUS_TREE_WRITER_H_
#define PENSTOCK_DATASET_NEXUS_TREE_WRITER_H_

#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/hdf5_handle.h"

namespace penstock {

// A link to data in other files (docs/sidecar.md): which, and what it is. Paths are relative to the
// dataset.
struct ArrayLink {
  bool is_virtual = false;  // the frames, in the blocks; else one file with a plain array
  std::vector<hsize_t> extents;
  ElementType type = ElementType::kUint8;
  std::string path;    // of the plain array
  uint64_t bytes = 0;  // extents times the size of the type; at most 2^62

  // kCorrupt where the JSON is no such link.
  static Result<ArrayLink> From(const std::string& name, const Json& json);
};

class NexusTreeWriter {
 public:
  // `file`: for messages.
  explicit NexusTreeWriter(std::filesystem::path file) : file_(std::move(file)) {}
  virtual ~NexusTreeWriter() = default;
  NexusTreeWriter(const NexusTreeWriter&) = delete;
  NexusTreeWriter& operator=(const NexusTreeWriter&) = delete;

  // Fills the root group of an open file.
  Status WriteMembers(hid_t group, const Json& members);

 protected:
  virtual Status WriteBlocks(hid_t group, const std::string& name, const ArrayLink& link,
                             const Json& json) = 0;
  virtual Status WriteArray(hid_t group, const std::string& name, const ArrayLink& link) = 0;

  // A failure of HDF5, with its reason.
  Error Failed(const char* what, const std::string& node = "") const;
  const std::filesystem::path& file() const { return file_; }

  // Without times: the same tree gives the same bytes.
  static Hdf5Handle DatasetCreation();
  static Hdf5Handle Space(const std::vector<hsize_t>& extents);

 private:
  static herr_t TakeFirstReason(unsigned number, const H5E_error2_t* entry, void* data);
  Status WriteGroup(hid_t parent, const std::string& name, const Json& members);
  Status WriteField(hid_t group, const std::string& name, const Json& json);
  // `field` is "" for an attribute of the group itself.
  Status WriteAttribute(hid_t group, const std::string& field, const std::string& name,
                        const Json& json);
  Status WriteLink(hid_t group, const std::string& name, const Json& link);

  const std::filesystem::path file_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_NEXUS_TREE_WRITER_H_
