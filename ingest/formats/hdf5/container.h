// An HDF5 file opened for reading, and what is found in it by name.
//
// The library is not thread-safe: every function here, destructors included, takes the process-wide
// lock (Hdf5Session) by itself, and a caller that does more than one thing holds it meanwhile.
// Links are followed by us, one name at a time, so that loops end, and a link into another file
// stays within the folder of the file that holds it.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_CONTAINER_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_CONTAINER_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/formats/chunked/chunk_grid.h"
#include "ingest/formats/chunked/json_values.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/hdf5_handle.h"

namespace penstock::ingest::hdf5 {

// Where the signature stands: 0, 512, 1024, 2048, ...; nothing where there is none.
std::optional<uint64_t> FindSignature(int fd, uint64_t file_bytes);

class Container {
 public:
  // kCorrupt where the file is cut short, kUnsupported where it cannot be read by the library.
  static Result<std::shared_ptr<Container>> Open(const std::filesystem::path& path);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string name() const { return path_.filename().string(); }
  const FileIdentity& identity() const { return identity_; }
  int fd() const { return fd_.get(); }
  hid_t id() const { return file_.get(); }
  uint64_t base_address() const { return base_; }  // behind a user block
  bool open_for_writing() const { return open_for_writing_; }
  // Closes what the library holds; the descriptor stays.
  void CloseLibrary();

  // A file that a link or a virtual dataset of this one names. kPermission-like refusals are
  // kUnsupported; kNotFound names the file.
  Result<std::shared_ptr<Container>> OpenNeighbour(const std::string& file_name);

 private:
  Container() = default;

  std::filesystem::path path_;
  FileDescriptor fd_;
  FileIdentity identity_;
  uint64_t base_ = 0;
  bool open_for_writing_ = false;
  Hdf5Handle file_;
  // Neighbours by path, shared by all files that were reached from the first one.
  std::shared_ptr<std::map<std::string, std::weak_ptr<Container>>> family_;
};

struct ObjectKey {
  std::string file;
  uint64_t address = 0;
  auto operator<=>(const ObjectKey&) const = default;
};

// A group or a dataset, wherever links led to.
class Object {
 public:
  static Result<Object> Root(std::shared_ptr<Container> container);

  Object() = default;
  Object(Object&&) = default;
  Object& operator=(Object&& other) noexcept;
  ~Object();

  bool valid() const { return handle_.valid(); }
  bool is_group() const { return is_group_; }
  bool is_dataset() const { return !is_group_; }
  hid_t id() const { return handle_.get(); }
  const std::shared_ptr<Container>& container() const { return container_; }
  const std::string& path() const { return path_; }  // "/entry/data", as it was asked for
  std::string name() const;                          // last component
  std::string Place() const;                         // "scan.nxs:/entry/data"
  const ObjectKey& key() const { return key_; }

  // Names in order, at most `limit`; empty for datasets.
  std::vector<std::string> Children(size_t limit = 100000) const;
  bool Has(std::string_view child) const;
  // `path` relative to this object, or from the root of its file when it begins with '/'. Errors
  // name the link that leads nowhere.
  Result<Object> Get(std::string_view path) const;
  // As Get, with any error as "not there".
  std::optional<Object> Find(std::string_view path) const;

  // Attributes and small datasets as JSON: numbers, booleans, texts, or flat lists of these;
  // nothing where there is none, where the type has no such form, or where there are more elements.
  std::optional<Json> Attribute(const std::string& name, uint64_t max_elements = 4096) const;
  std::optional<std::string> TextAttribute(const std::string& name) const;
  std::optional<double> NumberAttribute(const std::string& name) const;
  std::vector<std::string> AttributeNames() const;
  std::optional<Json> Value(uint64_t max_elements = 4096) const;  // of a dataset
  std::optional<std::string> Text() const;
  std::optional<double> Number() const;
  std::vector<double> Numbers(uint64_t max_elements = 1 << 20) const;

  // Empty for groups and null or damaged spaces.
  std::vector<uint64_t> Shape() const;
  bool IsNumeric() const;        // integer or floating point, also booleans
  std::string TypeText() const;  // "uint16", "big-endian uint16", "text", "compound"

 private:
  friend class LinkWalker;
  Hdf5Handle handle_;
  std::shared_ptr<Container> container_;
  std::string path_;
  ObjectKey key_;
  bool is_group_ = false;
};

using chunked::AsNumber;
using chunked::AsNumbers;
using chunked::AsText;
using chunked::AsTexts;
using chunked::ShapeText;

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_CONTAINER_H_
