#include "cachefs/handover/mount_state.h"

#include <fmt/format.h>

#include <bit>
#include <concepts>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr std::string_view kMagic = "penstock mount state";

static_assert(std::endian::native == std::endian::little);

template <typename T>
concept Number = std::integral<T> || std::is_enum_v<T>;

// What is shared is written once, into a table, and named by its place there; 0 is null.
template <typename T>
using Table = std::vector<std::shared_ptr<const T>>;

// The fields of a record in their order, for writing and for reading.
template <typename Archive, typename T>
void Fields(Archive& archive, T& record);

class Writer {
 public:
  std::string bytes;

  template <Number T>
  void operator()(const T& number) {
    const auto wide = static_cast<uint64_t>(number);
    bytes.append(reinterpret_cast<const char*>(&wide), sizeof wide);
  }
  void operator()(const std::string& text) {
    (*this)(text.size());
    bytes.append(text);
  }
  void operator()(const struct stat& status) {
    bytes.append(reinterpret_cast<const char*>(&status), sizeof status);
  }
  template <typename T>
  void operator()(const std::vector<T>& items) {
    (*this)(items.size());
    for (const T& item : items) {
      if constexpr (std::is_class_v<T> && !std::invocable<Writer&, const T&>) {
        Fields(*this, item);
      } else {
        (*this)(item);
      }
    }
  }
  template <typename T>
  void operator()(const std::shared_ptr<const T>& shared) {
    (*this)(shared ? places_.at(shared.get()) : size_t{0});
  }
  template <typename T>
  void Define(const Table<T>& table) {
    (*this)(table.size());
    for (size_t i = 0; i < table.size(); ++i) {
      Fields(*this, *table[i]);
      places_[table[i].get()] = i + 1;
    }
  }

 private:
  std::unordered_map<const void*, size_t> places_;
};

// `ok` is false from the first field that is not there.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest(bytes) {}
  std::string_view rest;
  bool ok = true;

  template <Number T>
  void operator()(T& number) {
    uint64_t wide = 0;
    Take(&wide, sizeof wide);
    number = static_cast<T>(wide);
  }
  void operator()(std::string& text) {
    const size_t length = Count();
    text.assign(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  void operator()(struct stat& status) { Take(&status, sizeof status); }
  template <typename T>
  void operator()(std::vector<T>& items) {
    const size_t count = Count();
    for (size_t i = 0; i < count && ok; ++i) {
      T& item = items.emplace_back();
      if constexpr (std::is_class_v<T> && !std::invocable<Reader&, T&>) {
        Fields(*this, item);
      } else {
        (*this)(item);
      }
    }
  }
  template <typename T>
  void operator()(std::shared_ptr<const T>& shared) {
    size_t place = 0;
    (*this)(place);
    const Table<T>& table = std::get<Table<T>>(tables_);
    if (place > table.size()) ok = false;
    if (ok && place > 0) shared = table[place - 1];
  }
  template <typename T>
  void Define() {
    Table<T>& table = std::get<Table<T>>(tables_);
    const size_t count = Count();
    for (size_t i = 0; i < count && ok; ++i) {
      auto item = std::make_shared<T>();
      Fields(*this, *item);
      table.push_back(std::move(item));
    }
  }

 private:
  void Take(void* to, size_t size) {
    if (rest.size() < size) ok = false;
    if (!ok) return;
    std::memcpy(to, rest.data(), size);
    rest.remove_prefix(size);
  }
  // Of things of at least a byte each.
  size_t Count() {
    size_t count = 0;
    (*this)(count);
    if (count > rest.size()) ok = false;
    return ok ? count : 0;
  }

  std::tuple<Table<BlockSource>, Table<DatasetView>, Table<Face>> tables_;
};

template <typename Archive, typename T>
void Fields(Archive& archive, T& record) {
  constexpr bool kReads = !std::is_const_v<T>;
  using Record = std::remove_const_t<T>;
  const auto all = [&archive](auto&... fields) { (archive(fields), ...); };
  if constexpr (std::same_as<Record, FileIdentity>) {
    all(record.device, record.inode, record.size, record.mtime_ns, record.ctime_ns);
  } else if constexpr (std::same_as<Record, BlockSource>) {
    all(record.id, record.dataset, record.generation, record.block, record.path, record.file_bytes,
        record.extent_checksum);
    Fields(archive, record.identity);
  } else if constexpr (std::same_as<Record, BlockRegion>) {
    all(record.first_row, record.row_count, record.first_column, record.column_count,
        record.first_frame);
  } else if constexpr (std::same_as<Record, DatasetView>) {
    all(record.path, record.generation);
    Fields(archive, record.sidecar);
    all(record.compression, record.blocks, record.regions);
    if constexpr (kReads) {
      for (const auto& block : record.blocks) {
        if (block) record.block_of_path.emplace(block->path, block->block);
      }
    }
  } else if constexpr (std::same_as<Record, Face>) {
    all(record.kind, record.dataset, record.generation, record.id, record.header_bytes,
        record.total_bytes);
    DatasetShape shape = record.layout.shape();
    BlockGrid grid = record.layout.grid();
    all(shape.scan.rows, shape.scan.columns, shape.scan.is_series, shape.signal.rows,
        shape.signal.columns, shape.element_type, grid.block_rows, grid.block_columns,
        grid.grid_rows, grid.grid_columns, grid.inner_columns);
    if constexpr (kReads) record.layout = FaceLayout(shape, grid, record.header_bytes);
  } else if constexpr (std::same_as<Record, DirectoryEntry>) {
    all(record.name, record.type, record.inode);
  } else if constexpr (std::same_as<Record, MountState::HeldNode>) {
    all(record.id, record.path, record.lookups, record.current, record.type, record.device,
        record.inode, record.block, record.face, record.backing_id, record.shown);
  } else if constexpr (std::same_as<Record, MountState::HeldFile>) {
    all(record.handle, record.node, record.passthrough, record.in_store, record.face_header,
        record.dataset);
  } else if constexpr (std::same_as<Record, MountState::HeldListing>) {
    all(record.handle, record.entries);
  } else {
    static_assert(std::same_as<Record, MountState>);
    all(record.init_request, record.passthrough, record.next_node, record.next_handle, record.nodes,
        record.files, record.listings, record.service_environment);
  }
}

template <typename T>
void Collect(const std::shared_ptr<const T>& shared, Table<T>& table,
             std::unordered_map<const void*, size_t>& known) {
  if (shared && known.emplace(shared.get(), table.size()).second) table.push_back(shared);
}

}  // namespace

std::string EncodeMountState(const MountState& state) {
  std::unordered_map<const void*, size_t> known;
  Table<BlockSource> sources;
  Table<DatasetView> datasets;
  Table<Face> faces;
  for (const auto& node : state.nodes) {
    Collect(node.block, sources, known);
    Collect(node.face, faces, known);
  }
  for (const auto& file : state.files) {
    Collect(file.dataset, datasets, known);
    if (!file.dataset) continue;
    for (const auto& block : file.dataset->blocks) Collect(block, sources, known);
  }
  Writer writer;
  writer.bytes = kMagic;
  writer(MountState::kVersion);
  writer.Define(sources);
  writer.Define(datasets);
  writer.Define(faces);
  Fields(writer, state);
  return std::move(writer.bytes);
}

Result<MountState> DecodeMountState(std::string_view bytes) {
  const Error corrupt = Error::Corrupt("the state of the mount is not whole");
  if (!bytes.starts_with(kMagic)) return corrupt;
  Reader reader(bytes.substr(kMagic.size()));
  uint64_t version = 0;
  reader(version);
  if (reader.ok && version != MountState::kVersion) {
    return Error::Unsupported("the state of the mount is of another version")
        .Expected(fmt::format("{}", MountState::kVersion))
        .Found(fmt::format("{}", version));
  }
  reader.Define<BlockSource>();
  reader.Define<DatasetView>();
  reader.Define<Face>();
  MountState state;
  Fields(reader, state);
  if (!reader.ok || !reader.rest.empty()) return corrupt;
  return state;
}

}  // namespace penstock::cachefs
