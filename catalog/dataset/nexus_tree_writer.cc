#include "catalog/dataset/nexus_tree_writer.h"

#include <utility>

#include "catalog/dataset/hdf5_value.h"
#include "catalog/dataset/nexus_tree.h"

namespace penstock {

namespace {

constexpr uint64_t kLargestArray = uint64_t{1} << 62;

Error NotALink(const std::string& name, std::string expected) {
  return Error::Corrupt("this is not a link of a sidecar")
      .At(">" + name)
      .Expected(std::move(expected));
}

bool IsInsideDataset(const std::filesystem::path& path) {
  if (path.empty() || path.is_absolute()) return false;
  for (const std::filesystem::path& part : path) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace

Result<ArrayLink> ArrayLink::From(const std::string& name, const Json& json) {
  const auto member = [&json](const char* key) -> const Json* {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(key);
    return found == json.end() ? nullptr : &*found;
  };
  const Json* const schema = member("dictdump_schema");
  const Json* const shape = member("shape");
  const Json* const dtype = member("dtype");
  const Json* const sources = member("sources");
  ArrayLink link;
  if (schema != nullptr && (*schema == "vds_v1" || *schema == kZarrLinkSchema)) {
    link.is_virtual = true;
  } else if (schema == nullptr || *schema != "external_binary_link_v1") {
    return NotALink(
        name, "dictdump_schema vds_v1, external_binary_link_v1 or " + std::string(kZarrLinkSchema));
  }
  if (shape == nullptr || !shape->is_array() || shape->empty() || shape->size() > H5S_MAX_RANK) {
    return NotALink(name, "a shape");
  }
  if (dtype == nullptr || !dtype->is_string()) return NotALink(name, "a dtype");
  PENSTOCK_ASSIGN_OR_RETURN(link.type, ParseElementType(dtype->get<std::string>()));
  link.bytes = ElementSize(link.type);
  for (const Json& extent : *shape) {
    if (!extent.is_number_integer() || extent <= 0 || extent > kLargestArray / link.bytes) {
      return NotALink(name, "axes of at least 1 and at most 2^62 bytes altogether");
    }
    link.extents.push_back(extent.get<hsize_t>());
    link.bytes *= extent.get<uint64_t>();
  }
  if (sources == nullptr || !sources->is_array() || sources->empty()) {
    return NotALink(name, "sources");
  }
  if (link.is_virtual) return link;
  const Json& source = sources->front();
  if (sources->size() != 1 || !source.is_object() || !source.contains("file_path") ||
      !source["file_path"].is_string()) {
    return NotALink(name, "one source with a file_path");
  }
  link.path = source["file_path"].get<std::string>();
  if (!IsInsideDataset(link.path)) return NotALink(name, "a path inside of the dataset");
  if (source.value("offset", Json(0)) != 0 || source.value("size", Json()) != link.bytes) {
    return NotALink(name, "offset 0 and the size of the array");
  }
  return link;
}

Error NexusTreeWriter::Failed(const char* what, const std::string& node) const {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &NexusTreeWriter::TakeFirstReason, &reason);
  if (!reason.empty()) reason.insert(0, "HDF5: ");
  return Error(ErrorKind::kIo, what).In(file_).At(node).Found(std::move(reason));
}

herr_t NexusTreeWriter::TakeFirstReason(unsigned number, const H5E_error2_t* entry, void* data) {
  if (number == 0 && entry->desc != nullptr) *static_cast<std::string*>(data) = entry->desc;
  return 0;
}

// Fields first: an attribute may stand before its field.
Status NexusTreeWriter::WriteMembers(hid_t group, const Json& members) {
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
    PENSTOCK_RETURN_IF_ERROR(WriteAttribute(group, name.substr(0, at), name.substr(at + 1), value));
  }
  return {};
}

Status NexusTreeWriter::WriteGroup(hid_t parent, const std::string& name, const Json& members) {
  Hdf5Handle creation(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  Hdf5Handle group(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                   H5Gclose);
  if (!group.valid()) return Failed("cannot create a group", name);
  return WriteMembers(group.get(), members);
}

Hdf5Handle NexusTreeWriter::DatasetCreation() {
  Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  return creation;
}

Hdf5Handle NexusTreeWriter::Space(const std::vector<hsize_t>& extents) {
  return {H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose};
}

Status NexusTreeWriter::WriteField(hid_t group, const std::string& name, const Json& json) {
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

Status NexusTreeWriter::WriteAttribute(hid_t group, const std::string& field,
                                       const std::string& name, const Json& json) {
  PENSTOCK_ASSIGN_OR_RETURN(const Hdf5Value value, Hdf5Value::From(name, json));
  Hdf5Handle object(H5Oopen(group, field.empty() ? "." : field.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object.valid()) return Failed("an attribute belongs to no field", field + "@" + name);
  Hdf5Handle attribute(
      H5Acreate2(object.get(), name.c_str(), value.type(), value.space(), H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  if (!attribute.valid() || H5Awrite(attribute.get(), value.type(), value.data()) < 0) {
    return Failed("cannot write an attribute", field + "@" + name);
  }
  return {};
}

Status NexusTreeWriter::WriteLink(hid_t group, const std::string& name, const Json& json) {
  if (json.is_string()) {
    if (H5Lcreate_soft(json.get<std::string>().c_str(), group, name.c_str(), H5P_DEFAULT,
                       H5P_DEFAULT) < 0) {
      return Failed("cannot create a link", name);
    }
    return {};
  }
  PENSTOCK_ASSIGN_OR_RETURN(const ArrayLink link, ArrayLink::From(name, json));
  return link.is_virtual ? WriteBlocks(group, name, link, json) : WriteArray(group, name, link);
}

}  // namespace penstock
