// Results as a NeXus file.

#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <cerrno>
#include <complex>

#include "penstock/dataset/hdf5_handle.h"
#include "tools/penstock/result_container.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;

Hdf5Handle TextType() {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), &H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

Hdf5Handle FileType(const ResultArray& array) {
  if (array.is_integer()) return {H5Tcopy(H5T_STD_I64LE), &H5Tclose};
  if (!array.is_complex()) return {H5Tcopy(H5T_IEEE_F64LE), &H5Tclose};
  Hdf5Handle type(H5Tcreate(H5T_COMPOUND, 16), &H5Tclose);
  H5Tinsert(type.get(), "r", 0, H5T_IEEE_F64LE);
  H5Tinsert(type.get(), "i", 8, H5T_IEEE_F64LE);
  return type;
}

// One file under a temporary name. The first failure is remembered, what follows does nothing.
class Writer {
 public:
  explicit Writer(fs::path path) : path_(std::move(path)) {
    // A newer form of the file, so that no object bears a time: the same results, the same bytes.
    const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), &H5Pclose);
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    file_ = {H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), &H5Fclose};
    Check(file_.valid(), "cannot be created");
  }

  hid_t root() const { return file_.get(); }
  const Status& status() const { return status_; }

  Hdf5Handle Group(hid_t parent, const std::string& name, const std::string& nexus_class) {
    Hdf5Handle group(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                     &H5Gclose);
    Check(group.valid(), name);
    Attribute(group.get(), "NX_class", nexus_class);
    return group;
  }

  void Attribute(hid_t object, const std::string& name, const std::string& text) {
    if (!status_.ok()) return;
    const Hdf5Handle type = TextType();
    const Hdf5Handle space(H5Screate(H5S_SCALAR), &H5Sclose);
    const Hdf5Handle attribute(
        H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
        &H5Aclose);
    const char* const value = text.c_str();
    Check(attribute.valid() && H5Awrite(attribute.get(), type.get(), &value) >= 0, name);
  }

  void Text(hid_t group, const std::string& name, const std::string& text) {
    const Hdf5Handle space(H5Screate(H5S_SCALAR), &H5Sclose);
    const char* const value = text.c_str();
    Field(group, name, TextType(), space, &value);
  }

  void Number(hid_t group, const std::string& name, int64_t number) {
    const Hdf5Handle space(H5Screate(H5S_SCALAR), &H5Sclose);
    Field(group, name, {H5Tcopy(H5T_STD_I64LE), &H5Tclose}, space, &number);
  }

  void Array(hid_t group, const std::string& name, const ResultArray& array) {
    const std::vector<hsize_t> extents(array.shape.begin(), array.shape.end());
    const Hdf5Handle space(
        H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), &H5Sclose);
    std::visit(
        [&](const auto& values) { Field(group, name, FileType(array), space, values.data()); },
        array.values);
  }

  // Closes the file; an error of the library may come only now.
  Status Finish() {
    const bool flushed = file_.valid() && H5Fflush(file_.get(), H5F_SCOPE_LOCAL) >= 0;
    Check(file_.Reset() && flushed, "cannot be written to the end");
    return status_;
  }

 private:
  void Field(hid_t group, const std::string& name, const Hdf5Handle& type, const Hdf5Handle& space,
             const void* data) {
    if (!status_.ok()) return;
    const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), &H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    const Hdf5Handle field(H5Dcreate2(group, name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                      creation.get(), H5P_DEFAULT),
                           &H5Dclose);
    Check(field.valid() &&
              H5Dwrite(field.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0,
          name);
  }

  void Check(bool fine, const std::string& what) {
    if (fine || !status_.ok()) return;
    status_ = Error(ErrorKind::kIo, fmt::format("the results can't be written: {}", what))
                  .In(path_.string());
  }

  fs::path path_;
  Hdf5Handle file_;
  Status status_;
};

void WriteProcess(Writer& writer, hid_t entry, const Provenance& provenance) {
  const Hdf5Handle process = writer.Group(entry, "process", "NXprocess");
  writer.Text(process.get(), "program", provenance.program);
  writer.Text(process.get(), "version", provenance.version);
  writer.Text(process.get(), "date", provenance.date);
  writer.Number(process.get(), "sequence_index", 1);
  const Hdf5Handle command = writer.Group(process.get(), "command", "NXnote");
  writer.Text(command.get(), "type", "text/plain");
  writer.Text(command.get(), "data", provenance.command);
  const Hdf5Handle parameters = writer.Group(process.get(), "parameters", "NXnote");
  writer.Text(parameters.get(), "type", "application/json");
  writer.Text(parameters.get(), "data", provenance.parameters.dump());
  for (size_t i = 0; i < provenance.inputs.size(); ++i) {
    const Provenance::Input& input = provenance.inputs[i];
    const Hdf5Handle note = writer.Group(process.get(), fmt::format("input{}", i + 1), "NXnote");
    writer.Text(note.get(), "description", input.role);
    writer.Text(note.get(), "file_name", input.path);
    if (input.checksum.empty()) continue;
    writer.Text(note.get(), "checksum", input.checksum);
    writer.Text(note.get(), "algorithm", input.algorithm);
  }
}

Status WriteFile(const fs::path& path, const std::vector<NamedArray>& arrays,
                 const Provenance& provenance) {
  const Hdf5Session session;
  Writer writer(path);
  if (!writer.status().ok()) return writer.status();
  writer.Attribute(writer.root(), "NX_class", "NXroot");
  writer.Attribute(writer.root(), "default", "entry");
  writer.Attribute(writer.root(), "creator", provenance.program);
  writer.Attribute(writer.root(), "creator_version", provenance.version);
  {
    const Hdf5Handle entry = writer.Group(writer.root(), "entry", "NXentry");
    if (!arrays.empty()) writer.Attribute(entry.get(), "default", arrays.front().name);
    WriteProcess(writer, entry.get(), provenance);
    for (const NamedArray& result : arrays) {
      const Hdf5Handle data = writer.Group(entry.get(), result.name, "NXdata");
      writer.Attribute(data.get(), "signal", "data");
      writer.Array(data.get(), "data", result.array);
    }
  }
  return writer.Finish();
}

}  // namespace

Status WriteNexusResults(const fs::path& path, const std::vector<NamedArray>& arrays,
                         const Provenance& provenance) {
  const fs::path temporary = fmt::format("{}.part.{}", path.string(), getpid());
  Status written = WriteFile(temporary, arrays, provenance);
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    written = Error::FromErrno(errno, "cannot rename " + temporary.string() + " to this name")
                  .In(path.string());
  }
  if (!written.ok()) unlink(temporary.c_str());
  return written;
}

}  // namespace penstock::tools
