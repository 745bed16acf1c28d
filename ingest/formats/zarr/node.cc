#include "ingest/formats/zarr/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/chunked/json_values.h"
#include "ingest/formats/zarr/array_reader.h"
#include "ingest/formats/zarr/metadata_json.h"

namespace penstock::ingest::zarr {

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxNodes = 100000;
constexpr size_t kMaxDumpBytes = size_t{1} << 20;

bool IsFile(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

// A name that stays in the directory.
bool IsSafeName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

Result<Json> ReadJson(Store& store, const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
  PENSTOCK_ASSIGN_OR_RETURN(Json json, ReadMetadataFile(path));
  store.files_read[path] = identity;
  return json;
}

class Dumper {
 public:
  Json Dump(const Node& node, int depth) {
    Json json = Json::object();
    Put(json, "@metadata", node.metadata());
    if (!node.attributes().empty()) Put(json, "@attributes", node.attributes());
    if (depth == 0) return json;
    for (const std::string& name : node.Children()) {
      if (Full()) return json;
      const auto child = node.Get(name);
      json[name] = child.ok() ? Dump(*child, depth - 1) : Json("(cannot be read)");
      bytes_ += name.size() + 8;
    }
    return json;
  }
  bool Full() const { return bytes_ > kMaxDumpBytes; }

 private:
  void Put(Json& json, const char* name, const Json& value) {
    const size_t bytes = value.dump(-1, ' ', false, Json::error_handler_t::replace).size();
    if (bytes_ + bytes > kMaxDumpBytes) {
      json[name] = "(left out: too long)";
    } else if (!value.empty()) {
      json[name] = value;
      bytes_ += bytes;
    }
  }

  size_t bytes_ = 0;
};

class Walker {
 public:
  explicit Walker(const std::function<bool(const Node&)>& visit) : visit_(visit) {}

  void Walk(const Node& group, int depth) {
    if (depth == 0) return;
    for (const std::string& name : group.Children()) {
      if (++seen_ > kMaxNodes) return;
      const auto child = group.Find(name);
      if (child && visit_(*child) && child->is_group()) Walk(*child, depth - 1);
    }
  }

 private:
  const std::function<bool(const Node&)>& visit_;
  size_t seen_ = 0;
};

}  // namespace

bool IsMetadataName(std::string_view name) {
  return name == "zarr.json" || name == ".zgroup" || name == ".zarray" || name == ".zattrs";
}

bool IsNodeDirectory(const std::filesystem::path& directory) {
  return IsFile(directory / "zarr.json") || IsFile(directory / ".zarray") ||
         IsFile(directory / ".zgroup");
}

Result<Node> Node::Root(std::shared_ptr<Store> store) {
  const std::filesystem::path root = store->root;
  return Load(std::move(store), root, "/");
}

Result<Node> Node::Load(std::shared_ptr<Store> store, const std::filesystem::path& directory,
                        std::string path) {
  Node node;
  node.path_ = std::move(path);
  node.directory_ = directory;
  node.attributes_ = Json::object();
  if (IsFile(directory / "zarr.json")) {
    node.metadata_path_ = directory / "zarr.json";
    PENSTOCK_ASSIGN_OR_RETURN(node.metadata_, ReadJson(*store, node.metadata_path_));
    const std::string type = chunked::AsText(Member(node.metadata_, "node_type")).value_or("");
    const Json& format = Member(node.metadata_, "zarr_format");
    if (format != 3 || (type != "array" && type != "group")) {
      return Error::Corrupt("this is no metadata of Zarr version 3")
          .In(node.metadata_path_.string())
          .Expected("zarr_format 3 and a node_type of array or group")
          .Found(fmt::format("zarr_format {}, node_type '{}'", ShortText(format), type));
    }
    node.is_group_ = type == "group";
    if (const Json& attributes = Member(node.metadata_, "attributes"); attributes.is_object()) {
      node.attributes_ = attributes;
    }
    node.metadata_.erase("attributes");
  } else {
    node.version_ = 2;
    node.is_group_ = !IsFile(directory / ".zarray");
    node.metadata_path_ = directory / (node.is_group_ ? ".zgroup" : ".zarray");
    if (!IsFile(node.metadata_path_)) {
      return Error::NotFound("there is no Zarr group or array")
          .In(directory.string())
          .Expected("zarr.json, .zgroup or .zarray")
          .Found("none of them");
    }
    PENSTOCK_ASSIGN_OR_RETURN(node.metadata_, ReadJson(*store, node.metadata_path_));
    if (const Json& format = Member(node.metadata_, "zarr_format"); format != 2) {
      return Error::Corrupt("this is no metadata of Zarr version 2")
          .In(node.metadata_path_.string())
          .Expected("zarr_format 2")
          .Found(fmt::format("zarr_format {}", ShortText(format)));
    }
    if (IsFile(directory / ".zattrs")) {
      PENSTOCK_ASSIGN_OR_RETURN(node.attributes_, ReadJson(*store, directory / ".zattrs"));
    }
  }
  node.store_ = std::move(store);
  return node;
}

std::string Node::name() const { return path_.substr(path_.rfind('/') + 1); }

std::vector<std::string> Node::Children(size_t limit) const {
  std::vector<std::string> names;
  if (!is_group_) return names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory_, error), end;
       !error && entry != end && names.size() < limit; entry.increment(error)) {
    std::error_code unknown;
    // Links could lead round in circles.
    if (!entry->is_directory(unknown) || entry->is_symlink(unknown)) continue;
    if (IsNodeDirectory(entry->path())) names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

Result<Node> Node::Get(std::string_view path) const {
  std::filesystem::path directory = path.starts_with('/') ? store_->root : directory_;
  std::string at = path.starts_with('/') ? "/" : path_;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    const bool safe = IsSafeName(name) && at.size() < 4096;
    if (safe) {
      directory /= name;
      at += (at.ends_with('/') ? "" : "/") + std::string(name);
    }
    if (!safe || !IsNodeDirectory(directory)) {
      return Error::NotFound(fmt::format("there is no '{}'", name))
          .In(store_->root.string())
          .At(at);
    }
  }
  return Load(store_, directory, at);
}

std::optional<Node> Node::Find(std::string_view path) const {
  auto found = Get(path);
  if (!found.ok()) return std::nullopt;
  return std::move(found).value();
}

std::optional<Json> Node::Attribute(const std::string& name, uint64_t max_elements) const {
  const auto found = attributes_.find(name);
  if (found == attributes_.end() || found->is_null() || found->is_object()) return std::nullopt;
  if (found->is_array() && found->size() > max_elements) return std::nullopt;
  return *found;
}

std::optional<std::string> Node::TextAttribute(const std::string& name) const {
  const auto value = Attribute(name);
  return value ? chunked::AsText(*value) : std::nullopt;
}

std::optional<double> Node::NumberAttribute(const std::string& name) const {
  const auto value = Attribute(name);
  return value ? chunked::AsNumber(*value) : std::nullopt;
}

std::vector<uint64_t> Node::Shape() const {
  if (is_group_) return {};
  return Sizes(Member(metadata_, "shape")).value_or(std::vector<uint64_t>());
}

std::vector<double> Node::Numbers(uint64_t max_elements) const {
  if (is_group_) return {};
  auto numbers = ReadNumbers(*this, max_elements);
  return numbers.ok() ? std::move(numbers).value() : std::vector<double>();
}

void AddAnomaly(chunked::FrameSelection& selection, const Node& where, AnomalyKind kind,
                std::string message) {
  Anomaly anomaly;
  anomaly.kind = kind;
  anomaly.file = where.metadata_path().string();
  anomaly.message = where.path() + ": " + std::move(message);
  selection.anomalies.push_back(std::move(anomaly));
}

void SetLinear(chunked::AxisStatement& axis, const std::vector<double>& values, uint64_t size,
               const Node& where, chunked::FrameSelection& selection) {
  auto complaint = chunked::FitLinear(axis, values, size);
  if (complaint) AddAnomaly(selection, where, AnomalyKind::kOther, std::move(*complaint));
}

void WalkNodes(const Node& root, const std::function<bool(const Node&)>& visit) {
  Walker(visit).Walk(root, kMaxDepth);
}

VendorHeader DumpMetadata(const Node& root) {
  Dumper dumper;
  const Json json = dumper.Dump(root, kMaxDepth);
  std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace);
  if (dumper.Full()) text += "\n(cut short at 1 MiB)";
  return {root.store()->name + (root.path() == "/" ? "" : " " + root.path()), std::move(text)};
}

}  // namespace penstock::ingest::zarr
