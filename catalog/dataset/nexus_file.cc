#include "catalog/dataset/nexus_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "catalog/dataset/hdf5_value.h"
#include "catalog/dataset/nexus_tree_writer.h"
#include "penstock/base/file.h"

namespace penstock {

namespace {

constexpr uint64_t kEmbedBytes = uint64_t{4} << 20;

class VirtualFileWriter final : public NexusTreeWriter {
 public:
  VirtualFileWriter(std::filesystem::path directory, const std::filesystem::path& file)
      : NexusTreeWriter(file), directory_(std::move(directory)) {}

  Status Write(const Json& tree) {
    Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    // Object headers of version 2 have no modification time unless asked for: no two runs differ.
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V110);
    H5Pset_file_locking(access.get(), false, true);  // network file systems without locks
    H5Pset_obj_track_times(creation.get(), false);
    Hdf5Handle hdf5(H5Fcreate(file().c_str(), H5F_ACC_TRUNC, creation.get(), access.get()),
                    H5Fclose);
    if (!hdf5.valid()) return Failed("cannot create the file");
    PENSTOCK_RETURN_IF_ERROR(WriteMembers(hdf5.get(), tree));
    if (H5Fflush(hdf5.get(), H5F_SCOPE_GLOBAL) < 0) return Failed("cannot write the file");
    if (!hdf5.Reset()) return Failed("cannot close the file");
    return {};
  }

 private:
  Status WriteBlocks(hid_t group, const std::string& name, const ArrayLink& link,
                     const Json& json) override {
    Hdf5Handle creation = DatasetCreation();
    Hdf5Handle space = Space(link.extents);
    for (const Json& source : json["sources"]) {
      const std::vector<hsize_t> extents = source["shape"].get<std::vector<hsize_t>>();
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
    Hdf5Handle file_type = Hdf5ElementType(link.type);
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), file_type.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create the virtual dataset", name);
    return {};
  }

  // Copies a small array, slab by slab along its first axis.
  Status WriteArray(hid_t group, const std::string& name, const ArrayLink& link) override {
    const std::vector<hsize_t>& extents = link.extents;
    Hdf5Handle space = Space(extents);
    Hdf5Handle element = Hdf5ElementType(link.type);
    Hdf5Handle creation = DatasetCreation();
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), element.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create a field", name);

    const std::filesystem::path path = directory_ / link.path;
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
    uint64_t row_bytes = ElementSize(link.type);
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
};

Status WriteTree(const std::filesystem::path& dataset_directory, const Json& tree,
                 const std::filesystem::path& file) {
  const Hdf5Session session;
  Status status = VirtualFileWriter(dataset_directory, file).Write(tree);
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
