// Groups and arrays of a Zarr hierarchy (version 2 or 3) in a directory, found by name.
//
// Nothing here follows ".." and nothing is cached: a node is read from its metadata files when it
// is asked for. Not thread-safe.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_NODE_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_NODE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/formats/chunked/frame_selection.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::zarr {

// "zarr.json", ".zgroup", ".zarray" or ".zattrs".
bool IsMetadataName(std::string_view name);
// The directory is a group or an array.
bool IsNodeDirectory(const std::filesystem::path& directory);

// The directory that the user gave, and what was read in it.
struct Store {
  std::filesystem::path root;
  std::string name;                                          // of the directory: "scan.zspy"
  std::map<std::filesystem::path, FileIdentity> files_read;  // metadata, small arrays
};

class Node {
 public:
  static Result<Node> Root(std::shared_ptr<Store> store);

  bool is_group() const { return is_group_; }
  bool is_array() const { return !is_group_; }
  const std::shared_ptr<Store>& store() const { return store_; }
  const std::filesystem::path& directory() const { return directory_; }
  const std::filesystem::path& metadata_path() const { return metadata_path_; }
  const std::string& path() const { return path_; }  // "/Experiments/scan/data"
  std::string name() const;                          // last component
  std::string Place() const { return store_->name + ":" + path_; }
  int version() const { return version_; }            // 2 or 3
  const Json& metadata() const { return metadata_; }  // .zarray or zarr.json
  const Json& attributes() const { return attributes_; }

  // Names of groups and arrays in order, at most `limit`; empty for arrays.
  std::vector<std::string> Children(size_t limit = 100000) const;
  // `path` relative to this node, or from the root when it begins with '/'.
  Result<Node> Get(std::string_view path) const;
  // As Get, with any error as "not there".
  std::optional<Node> Find(std::string_view path) const;

  std::optional<Json> Attribute(const std::string& name, uint64_t max_elements = 4096) const;
  std::optional<std::string> TextAttribute(const std::string& name) const;
  std::optional<double> NumberAttribute(const std::string& name) const;

  // As the metadata states it, without any check of the array's other members; empty for groups
  // and where there is none.
  std::vector<uint64_t> Shape() const;
  // The values of an array of numbers with one axis; empty where they cannot be read.
  std::vector<double> Numbers(uint64_t max_elements = 1 << 20) const;

 private:
  static Result<Node> Load(std::shared_ptr<Store> store, const std::filesystem::path& directory,
                           std::string path);

  std::shared_ptr<Store> store_;
  std::filesystem::path directory_;
  std::filesystem::path metadata_path_;
  std::string path_;
  bool is_group_ = true;
  int version_ = 3;
  Json metadata_;
  Json attributes_;
};

void AddAnomaly(chunked::FrameSelection& selection, const Node& where, AnomalyKind kind,
                std::string message);
// chunked::FitLinear, its complaint as an anomaly.
void SetLinear(chunked::AxisStatement& axis, const std::vector<double>& values, uint64_t size,
               const Node& where, chunked::FrameSelection& selection);

// Every node below `root`, at most 32 levels deep and 100000 in all. `visit` returns whether to
// look into a group.
void WalkNodes(const Node& root, const std::function<bool(const Node&)>& visit);

// Metadata and attributes of `root` and all below as JSON text, at most 1 MiB.
VendorHeader DumpMetadata(const Node& root);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_NODE_H_
