// Results as a Zarr v3 group.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <span>

#include "penstock/base/element_type.h"
#include "penstock/base/file.h"
#include "tools/penstock/result_container.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Status WriteBytes(const fs::path& path, std::span<const std::byte> bytes) {
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor file,
                            OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC));
  return WriteFully(file.get(), 0, bytes, path);
}

Status WriteText(const fs::path& path, const std::string& text) {
  return WriteBytes(path, std::as_bytes(std::span(text)));
}

Json Metadata(const ResultArray& array) {
  Json fill = 0;
  if (!array.is_integer()) fill = "NaN";
  if (array.is_complex()) fill = Json::array({"NaN", "NaN"});
  return {{"zarr_format", 3},
          {"node_type", "array"},
          {"shape", array.shape},
          {"data_type", ZarrDataType(array.element_type())},
          {"chunk_grid", {{"name", "regular"}, {"configuration", {{"chunk_shape", array.shape}}}}},
          {"chunk_key_encoding", {{"name", "default"}, {"configuration", {{"separator", "/"}}}}},
          {"fill_value", fill},
          {"codecs", Json::array({{{"name", "bytes"}, {"configuration", {{"endian", "little"}}}}})},
          {"attributes", Json::object()}};
}

Status WriteGroup(const fs::path& folder, const std::vector<NamedArray>& arrays,
                  const Provenance& provenance) {
  const Json group = {
      {"zarr_format", 3},
      {"node_type", "group"},
      {"attributes", {{"penstock_results", 1}, {"provenance", provenance.ToJson()}}}};
  PENSTOCK_RETURN_IF_ERROR(WriteText(folder / "zarr.json", group.dump(2)));
  for (const NamedArray& result : arrays) {
    const fs::path node = folder / result.name;
    PENSTOCK_RETURN_IF_ERROR(WriteText(node / "zarr.json", Metadata(result.array).dump(2)));
    std::string chunk = "c";
    for (size_t axis = 0; axis < result.array.shape.size(); ++axis) chunk += "/0";
    PENSTOCK_RETURN_IF_ERROR(std::visit(
        [&](const auto& values) {
          return WriteBytes(node / chunk, std::as_bytes(std::span(values)));
        },
        result.array.values));
  }
  return Status::Ok();
}

// A group that this file wrote.
bool IsOwn(const fs::path& path) {
  std::ifstream file(path / "zarr.json");
  const Json group = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  return group.is_object() && group.contains("attributes") && group["attributes"].is_object() &&
         group["attributes"].contains("penstock_results");
}

}  // namespace

Status WriteZarrResults(const fs::path& path, const std::vector<NamedArray>& arrays,
                        const Provenance& provenance) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (exists && !IsOwn(path)) {
    return Error::AlreadyExists("there is something at this path that is no result of penstock")
        .In(path.string())
        .Advice("choose another name, or remove it");
  }
  const fs::path temporary = fmt::format("{}.part.{}", path.string(), getpid());
  const fs::path replaced = fmt::format("{}.replaced.{}", path.string(), getpid());
  Status written = WriteGroup(temporary, arrays, provenance);
  if (written.ok() && exists) fs::rename(path, replaced, error);
  if (written.ok() && !error) fs::rename(temporary, path, error);
  if (written.ok() && error) {
    written =
        Error(ErrorKind::kIo, "cannot rename to this name: " + error.message()).In(path.string());
    if (exists && !fs::exists(path)) fs::rename(replaced, path, error);
  }
  fs::remove_all(written.ok() ? replaced : temporary, error);
  return written;
}

}  // namespace penstock::tools
