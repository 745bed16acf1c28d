#include "catalog/dataset/nexus_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/dataset/hdf5_value.h"
#include "penstock/base/file.h"

namespace penstock {

namespace {

constexpr uint64_t kEmbedBytes = uint64_t{4} << 20;

// Writes one tree. Every method returns an error that names the file and the node.
class TreeWriter {
 public:
  TreeWriter(std::filesystem::path directory, std::filesystem::path file)
      : directory_(std::move(directory)), file_(std::move(file)) {}

  Status Write(const Json& tree) {
    Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    // Object headers of version 2 have no modification time unless asked for: no two runs differ.
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V110);
    H5Pset_file_locking(access.get(), false, true);  // network file systems without locks
    H5Pset_obj_track_times(creation.get(), false);
    Hdf5Handle file(H5Fcreate(file_.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()),
                    H5Fclose);
    if (!file.valid()) return Failed("cannot create the file");
    PENSTOCK_RETURN_IF_ERROR(WriteMembers(file.get(), tree));
    if (H5Fflush(file.get(), H5F_SCOPE_GLOBAL) < 0) return Failed("cannot write the file");
    if (!file.Reset()) return Failed("cannot close the file");
    return {};
  }

 private:
  Error Failed(const char* what, const std::string& node = "") const {
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &TreeWriter::TakeFirstReason, &reason);
    Error error = Error(ErrorKind::kIo, what).In(file_);
    if (!reason.empty()) error = std::move(error).Found("HDF5: " + reason);
    if (!node.empty()) error = std::move(error).At(node);
    return error;
  }

  static herr_t TakeFirstReason(unsigned number, const H5E_error2_t* entry, void* data) {
    if (number == 0 && entry->desc != nullptr) *static_cast<std::string*>(data) = entry->desc;
    return 0;
  }

  // Fields first: an attribute may stand before its field.
  Status WriteMembers(hid_t group, const Json& members) {
    for (const auto& [name, value] : members.items()) {
      if (name.find('@') != std::string::npos) continue;
      if (name.starts_with('>')) {
        PENSTOCK_RETURN_IF_ERROR(WriteLink(group, name.substr(1), value));
      } else if (value.is_object()) {
        PENSTOCK_RETURN_IF_ERROR(WriteGroup(group, name, value));
      } else {
        PENSTOCK_RETURN_IF_ERROR(WriteField(group, name, value));
      }
    }
    for (const auto& [name, value] : members.items()) {
      const size_t at = name.find('@');
      if (at == std::string::npos) continue;
      PENSTOCK_RETURN_IF_ERROR(
          WriteAttribute(group, name.substr(0, at), name.substr(at + 1), value));
    }
    return {};
  }

  Status WriteGroup(hid_t parent, const std::string& name, const Json& members) {
    Hdf5Handle creation(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    Hdf5Handle group(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                     H5Gclose);
    if (!group.valid()) return Failed("cannot create a group", name);
    return WriteMembers(group.get(), members);
  }

  static Hdf5Handle DatasetCreation() {
    Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    return creation;
  }

  Status WriteField(hid_t group, const std::string& name, const Json& json) {
    PENSTOCK_ASSIGN_OR_RETURN(const Hdf5Value value, Hdf5Value::From(name, json));
    Hdf5Handle creation = DatasetCreation();
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), value.type(), value.space(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create a field", name);
    if (H5Sget_simple_extent_npoints(value.space()) == 0) return {};
    if (H5Dwrite(dataset.get(), value.type(), H5S_ALL, H5S_ALL, H5P_DEFAULT, value.data()) < 0) {
      return Failed("cannot write a field", name);
    }
    return {};
  }

  // `field` is "" for an attribute of the group itself.
  Status WriteAttribute(hid_t group, const std::string& field, const std::string& name,
                        const Json& json) {
    PENSTOCK_ASSIGN_OR_RETURN(const Hdf5Value value, Hdf5Value::From(name, json));
    Hdf5Handle object(H5Oopen(group, field.empty() ? "." : field.c_str(), H5P_DEFAULT), H5Oclose);
    if (!object.valid()) return Failed("an attribute belongs to no field", field + "@" + name);
    Hdf5Handle attribute(H5Acreate2(object.get(), name.c_str(), value.type(), value.space(),
                                    H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
    if (!attribute.valid() || H5Awrite(attribute.get(), value.type(), value.data()) < 0) {
      return Failed("cannot write an attribute", field + "@" + name);
    }
    return {};
  }

  Status WriteLink(hid_t group, const std::string& name, const Json& link) {
    if (link.is_string()) {
      if (H5Lcreate_soft(link.get<std::string>().c_str(), group, name.c_str(), H5P_DEFAULT,
                         H5P_DEFAULT) < 0) {
        return Failed("cannot create a link", name);
      }
      return {};
    }
    const bool is_virtual = link["dictdump_schema"] == "vds_v1";
    return is_virtual ? WriteVirtual(group, name, link) : Embed(group, name, link);
  }

  static std::vector<hsize_t> Extents(const Json& shape) {
    return shape.get<std::vector<hsize_t>>();
  }
  static Hdf5Handle Space(const std::vector<hsize_t>& extents) {
    return {H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose};
  }

  Status WriteVirtual(hid_t group, const std::string& name, const Json& link) {
    PENSTOCK_ASSIGN_OR_RETURN(const ElementType type,
                              ParseElementType(link["dtype"].get<std::string>()));
    Hdf5Handle creation = DatasetCreation();
    Hdf5Handle space = Space(Extents(link["shape"]));
    for (const Json& source : link["sources"]) {
      const std::vector<hsize_t> extents = Extents(source["shape"]);
      std::vector<hsize_t> start(extents.size(), 0);
      for (size_t axis = 0; axis < source["target_index"].size(); ++axis) {
        start[axis] = source["target_index"][axis][0].get<hsize_t>();
      }
      Hdf5Handle source_space = Space(extents);
      if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, extents.data(),
                              nullptr) < 0 ||
          H5Pset_virtual(creation.get(), space.get(),
                         source["file_path"].get<std::string>().c_str(),
                         source["data_path"].get<std::string>().c_str(), source_space.get()) < 0) {
        return Failed("cannot map a block", name);
      }
    }
    H5Sselect_all(space.get());
    Hdf5Handle file_type = Hdf5ElementType(type);
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), file_type.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create the virtual dataset", name);
    return {};
  }

  // Copies a small array, slab by slab along its first axis.
  Status Embed(hid_t group, const std::string& name, const Json& link) {
    PENSTOCK_ASSIGN_OR_RETURN(const ElementType type,
                              ParseElementType(link["dtype"].get<std::string>()));
    const std::vector<hsize_t> extents = Extents(link["shape"]);
    Hdf5Handle space = Space(extents);
    Hdf5Handle element = Hdf5ElementType(type);
    Hdf5Handle creation = DatasetCreation();
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), element.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create a field", name);

    const std::filesystem::path path =
        directory_ / link["sources"][0]["file_path"].get<std::string>();
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
    uint64_t row_bytes = ElementSize(type);
    for (size_t axis = 1; axis < extents.size(); ++axis) row_bytes *= extents[axis];
    const hsize_t rows_at_once = std::max<uint64_t>(kEmbedBytes / row_bytes, 1);
    std::vector<std::byte> bytes;
    for (hsize_t row = 0; row < extents[0]; row += rows_at_once) {
      std::vector<hsize_t> start(extents.size(), 0);
      std::vector<hsize_t> count = extents;
      start[0] = row;
      count[0] = std::min(rows_at_once, extents[0] - row);
      bytes.resize(count[0] * row_bytes);
      PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), row * row_bytes, bytes, path));
      Hdf5Handle memory = Space(count);
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                          nullptr);
      if (H5Dwrite(dataset.get(), element.get(), memory.get(), space.get(), H5P_DEFAULT,
                   bytes.data()) < 0) {
        return Failed("cannot write a field", name);
      }
    }
    return {};
  }

  const std::filesystem::path directory_;
  const std::filesystem::path file_;
};

}  // namespace

namespace {

Status WriteTree(const std::filesystem::path& dataset_directory, const Json& tree,
                 const std::filesystem::path& file) {
  const Hdf5Session session;
  Status status = TreeWriter(dataset_directory, file).Write(tree);
  if (!status.ok()) unlink(file.c_str());
  return status;
}

}  // namespace

Status WriteNexusFile(const std::filesystem::path& dataset_directory, const Json& tree) {
  return WriteTree(dataset_directory, tree, dataset_directory / "data.nxs");
}

Status ReplaceNexusFile(const std::filesystem::path& dataset_directory, const Json& tree) {
  const std::filesystem::path part = dataset_directory / "data.nxs.part";
  PENSTOCK_RETURN_IF_ERROR(WriteTree(dataset_directory, tree, part));
  std::error_code problem;
  std::filesystem::rename(part, dataset_directory / "data.nxs", problem);
  if (problem) return Error::FromErrno(problem.value(), "cannot rename").In(part);
  return {};
}

}  // namespace penstock
