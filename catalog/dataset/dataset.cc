#include "penstock/dataset/dataset.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "catalog/dataset/nexus_tree.h"
#include "catalog/dataset/sidecar_text.h"
#include "catalog/dataset/small_arrays.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"
#include "penstock/dataset/chunk_index.h"

namespace penstock {

namespace {

constexpr int32_t kInvalidFrameKey = 3;  // in image_key

constexpr uint64_t kMaximumSidecarBytes = uint64_t{64} << 20;

// Reads members of the penstock collection; every failure names the member.
class PenstockReader {
 public:
  PenstockReader(const std::filesystem::path& file, const Json& group)
      : file_(file), group_(group) {}

  Result<int64_t> Integer(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr || !IsInt64(*value)) return Wrong(name, "an integer");
    return value->get<int64_t>();
  }

  Result<std::string> Text(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr || !value->is_string()) return Wrong(name, "a string");
    return value->get<std::string>();
  }

  Result<std::vector<int64_t>> Integers(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr || !value->is_array()) return Wrong(name, "a list of integers");
    std::vector<int64_t> integers;
    for (const Json& element : *value) {
      if (!IsInt64(element)) return Wrong(name, "a list of integers");
      integers.push_back(element.get<int64_t>());
    }
    return integers;
  }

  Result<std::vector<std::string>> Texts(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr || !value->is_array()) return Wrong(name, "a list of strings");
    std::vector<std::string> texts;
    for (const Json& element : *value) {
      if (!element.is_string()) return Wrong(name, "a list of strings");
      texts.push_back(element.get<std::string>());
    }
    return texts;
  }

  Error Wrong(const std::string& name, const std::string& expected) const {
    const Json* value = Find(name);
    std::string found = "nothing";
    if (value != nullptr) {
      found = value->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80);
    }
    return Error::Corrupt("the sidecar contradicts itself or the layout")
        .In(file_)
        .At("penstock/" + name)
        .Expected(expected)
        .Found(found);
  }

 private:
  static bool IsInt64(const Json& value) {
    return value.is_number_integer() &&
           !(value.is_number_unsigned() &&
             value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
  }
  const Json* Find(const std::string& name) const {
    const auto found = group_.find(name);
    return found == group_.end() ? nullptr : &*found;
  }

  const std::filesystem::path& file_;
  const Json& group_;
};

Result<DatasetShape> ReadShape(const PenstockReader& reader) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto scan, reader.Integers("scan_shape"));
  PENSTOCK_ASSIGN_OR_RETURN(const auto signal, reader.Integers("signal_shape"));
  PENSTOCK_ASSIGN_OR_RETURN(const auto type_name, reader.Text("element_type"));
  if (scan.size() != 1 && scan.size() != 2) return reader.Wrong("scan_shape", "1 or 2 axes");
  if (signal.size() != 2) return reader.Wrong("signal_shape", "2 axes");
  DatasetShape shape;
  shape.scan.is_series = scan.size() == 1;
  shape.scan.rows = shape.scan.is_series ? 1 : scan[0];
  shape.scan.columns = scan.back();
  shape.signal = {.rows = signal[0], .columns = signal[1]};
  const Result<ElementType> type = ParseElementType(type_name);
  if (!type.ok() || ZarrDataType(*type) != type_name) {
    return reader.Wrong("element_type", "a Zarr data type that penstock knows");
  }
  shape.element_type = *type;
  if (!shape.Validate().ok()) return reader.Wrong("scan_shape", "a shape of at most 2^62 bytes");
  return shape;
}

Result<BlockGrid> ReadGrid(const PenstockReader& reader, const DatasetShape& shape) {
  BlockGrid grid;
  PENSTOCK_ASSIGN_OR_RETURN(grid.block_rows, reader.Integer("block_rows"));
  PENSTOCK_ASSIGN_OR_RETURN(grid.block_columns, reader.Integer("block_columns"));
  PENSTOCK_ASSIGN_OR_RETURN(grid.inner_columns, reader.Integer("inner_columns"));
  const ScanShape& scan = shape.scan;
  if (grid.block_rows < 1 || grid.block_rows > scan.rows) {
    return reader.Wrong("block_rows", "1 to " + std::to_string(scan.rows));
  }
  if (grid.block_columns < 1 || grid.block_columns > scan.columns) {
    return reader.Wrong("block_columns", "1 to " + std::to_string(scan.columns));
  }
  grid.grid_rows = (scan.rows + grid.block_rows - 1) / grid.block_rows;
  grid.grid_columns = (scan.columns + grid.block_columns - 1) / grid.block_columns;
  if (!ValidateBlockGrid(shape, grid).ok()) {
    return reader.Wrong("inner_columns", "a partition that the layout allows");
  }
  return grid;
}

Result<std::vector<BlockInfo>> ReadBlocks(const PenstockReader& reader, const DatasetShape& shape,
                                          const BlockGrid& grid, Compression compression,
                                          bool growing) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto files, reader.Texts("block_file"));
  PENSTOCK_ASSIGN_OR_RETURN(const auto bytes, reader.Integers("block_bytes"));
  PENSTOCK_ASSIGN_OR_RETURN(const auto checksums, reader.Texts("block_checksum"));
  PENSTOCK_ASSIGN_OR_RETURN(const auto algorithm, reader.Text("block_checksum_algorithm"));
  if (algorithm != "xxh3-128") return reader.Wrong("block_checksum_algorithm", "xxh3-128");
  // The lists are what they are; only then is anything sized by the shape.
  const std::string expected = std::to_string(grid.block_count()) + " entries";
  const auto count = static_cast<uint64_t>(grid.block_count());
  if (files.size() != count) return reader.Wrong("block_file", expected);
  if (bytes.size() != count) return reader.Wrong("block_bytes", expected);
  if (checksums.size() != count) return reader.Wrong("block_checksum", expected);
  std::vector<BlockInfo> blocks;
  blocks.reserve(count);
  for (int64_t block = 0; block < grid.block_count(); ++block) {
    const auto index = static_cast<size_t>(block);
    const uint64_t raw_bytes = BlockLayout::Of(shape, grid, block).file_bytes;
    uint64_t least_bytes = raw_bytes;
    uint64_t most_bytes = raw_bytes;
    if (compression != Compression::kNone) {
      least_bytes = ChunkIndexBytes(grid);
      most_bytes = LargestCompressedBlock(shape, grid, block);
    }
    // One name is right, which also keeps every path inside of the dataset.
    const std::string path = BlockRelativePath(shape, grid, block);
    const std::string where = ", entry " + std::to_string(block);
    if (files[index] != path) return reader.Wrong("block_file", path + where);
    const auto file_bytes = static_cast<uint64_t>(bytes[index]);
    if (bytes[index] < 0 || file_bytes < least_bytes || file_bytes > most_bytes) {
      return reader.Wrong(
          "block_bytes", (least_bytes == most_bytes
                              ? std::to_string(least_bytes)
                              : std::to_string(least_bytes) + " to " + std::to_string(most_bytes)) +
                             where);
    }
    const bool absent = growing && checksums[index].empty();
    if (!absent && !IsDigest(checksums[index])) {
      return reader.Wrong("block_checksum", "32 hexadecimal digits" + where);
    }
    blocks.push_back({.relative_path = path,
                      .bytes = file_bytes,
                      .checksum = checksums[index],
                      .region = RegionOfBlock(shape, grid, block)});
  }
  return blocks;
}

// Where raw frames are, which only raw blocks have.
Status CheckRawFrames(const PenstockReader& reader, const DatasetShape& shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t payload_start, reader.Integer("payload_start"));
  if (payload_start != static_cast<int64_t>(kPayloadStart)) {
    return reader.Wrong("payload_start", std::to_string(kPayloadStart));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t stride, reader.Integer("frame_stride"));
  if (stride < 0 || static_cast<uint64_t>(stride) != shape.frame_bytes()) {
    return reader.Wrong("frame_stride", std::to_string(shape.frame_bytes()));
  }
  return {};
}

Result<Compression> ReadCompression(const PenstockReader& reader, const DatasetShape& shape,
                                    const BlockGrid& grid) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string name, reader.Text("compression"));
  const auto compression = ParseCompression(name);
  if (!compression.ok() || *compression == Compression::kNone) {
    return reader.Wrong("compression", "lz4 or zstd");
  }
  const auto inner = static_cast<uint64_t>(grid.inner_columns);
  if (shape.frame_bytes() > kLargestCompressedChunk / inner) {
    return reader.Wrong("inner_columns",
                        "chunks of at most " + std::to_string(kLargestCompressedChunk) + " bytes");
  }
  if (grid.block_rows > kMostChunksPerBlock / (grid.block_columns / grid.inner_columns)) {
    return reader.Wrong("block_rows", "at most 2^40 inner chunks in a block");
  }
  return *compression;
}

SmallArray ExtentChecksums(const Dataset& dataset) {
  uint64_t largest = 0;
  for (const BlockInfo& block : dataset.blocks()) largest = std::max(largest, block.bytes);
  if (dataset.state() == kGrowingState) {
    largest = LargestBlock(dataset.shape(), dataset.grid(), dataset.compression());
  }
  return ExtentChecksumArray(static_cast<int64_t>(dataset.blocks().size()), largest);
}

template <typename T>
std::vector<T> ValuesOf(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

struct Dataset::State {
  std::filesystem::path directory;
  DatasetShape shape;
  BlockGrid grid;
  Compression compression = Compression::kNone;
  std::vector<BlockInfo> blocks;
  int64_t frames_expected = 0;
  int64_t frames_received = 0;
  std::string state;
  std::string generation;
  std::optional<SidecarText> nexus;  // always there
};

Result<Dataset> Dataset::Open(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "nexus.json";
  Result<std::string> text = ReadWholeFile(file, kMaximumSidecarBytes);
  if (!text.ok()) {
    if (text.error().kind() != ErrorKind::kNotFound) return std::move(text).error();
    return Error::NotFound("this is not a penstock dataset: it has no nexus.json").In(directory);
  }
  return FromNexusJson(directory, *text);
}

Result<Dataset> Dataset::FromNexusJson(const std::filesystem::path& directory,
                                       std::string_view nexus_json) {
  const std::filesystem::path file = directory / "nexus.json";
  if (nexus_json.size() > kMaximumSidecarBytes) {
    return Error::Unsupported("the sidecar is too large").In(file).Expected("at most 64 MiB");
  }
  PENSTOCK_ASSIGN_OR_RETURN(SidecarText nexus, SidecarText::Parse(nexus_json, file));
  auto state = std::make_shared<State>();
  state->directory = directory;
  state->nexus = std::move(nexus);
  const std::optional<Json>& penstock = state->nexus->penstock();
  if (!penstock) {
    return Error::Corrupt("the sidecar has no group entry1/penstock").In(file);
  }
  const PenstockReader reader(file, *penstock);
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t version, reader.Integer("layout_version"));
  if (version != kLayoutVersion && version != kCompressedLayoutVersion) {
    return Error::Unsupported("the dataset has a layout that this program does not know")
        .In(file)
        .Expected("layout version " + std::to_string(kLayoutVersion) + " or " +
                  std::to_string(kCompressedLayoutVersion))
        .Found(std::to_string(version))
        .Advice("use a newer penstock");
  }
  PENSTOCK_ASSIGN_OR_RETURN(state->shape, ReadShape(reader));
  PENSTOCK_ASSIGN_OR_RETURN(state->grid, ReadGrid(reader, state->shape));
  PENSTOCK_ASSIGN_OR_RETURN(state->state, reader.Text("state"));
  const bool growing = state->state == kGrowingState;
  if (version == kLayoutVersion) {
    PENSTOCK_RETURN_IF_ERROR(CheckRawFrames(reader, state->shape));
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(state->compression,
                              ReadCompression(reader, state->shape, state->grid));
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      state->blocks, ReadBlocks(reader, state->shape, state->grid, state->compression, growing));
  PENSTOCK_ASSIGN_OR_RETURN(state->frames_expected, reader.Integer("frames_expected"));
  if (state->frames_expected != state->shape.frame_count()) {
    return reader.Wrong("frames_expected", std::to_string(state->shape.frame_count()));
  }
  PENSTOCK_ASSIGN_OR_RETURN(state->frames_received, reader.Integer("frames_received"));
  if (state->frames_received < 0 || state->frames_received > state->frames_expected) {
    return reader.Wrong("frames_received", "0 to " + std::to_string(state->frames_expected));
  }
  state->generation = HashBytes(AsBytes(nexus_json));
  return Dataset(std::move(state));
}

const std::filesystem::path& Dataset::directory() const { return state_->directory; }
const DatasetShape& Dataset::shape() const { return state_->shape; }
const BlockGrid& Dataset::grid() const { return state_->grid; }
Compression Dataset::compression() const { return state_->compression; }
const std::vector<BlockInfo>& Dataset::blocks() const { return state_->blocks; }
BlockLayout Dataset::LayoutOfBlock(int64_t block) const {
  return BlockLayout::Of(state_->shape, state_->grid, block);
}
int64_t Dataset::frames_expected() const { return state_->frames_expected; }
int64_t Dataset::frames_received() const { return state_->frames_received; }
const std::string& Dataset::state() const { return state_->state; }
const std::string& Dataset::generation() const { return state_->generation; }
const Json& Dataset::nexus() const { return state_->nexus->tree(); }

Result<std::vector<int32_t>> Dataset::ReadImageKey() const {
  PENSTOCK_ASSIGN_OR_RETURN(const auto bytes,
                            ReadArray(state_->directory, ImageKeyArray(state_->shape)));
  std::vector<int32_t> image_key = ValuesOf<int32_t>(bytes);
  // It may be younger than nexus.json: then there are blocks of which nothing else is known yet.
  for (const BlockInfo& block : state_->blocks) {
    if (!block.checksum.empty()) continue;
    std::fill_n(image_key.begin() + block.region.first_frame, block.region.frame_count(),
                kInvalidFrameKey);
  }
  return image_key;
}

Result<std::vector<uint32_t>> Dataset::ReadPixelMask() const {
  auto bytes = ReadArray(state_->directory, PixelMaskArray(state_->shape));
  if (!bytes.ok() && bytes.error().kind() == ErrorKind::kNotFound) return std::vector<uint32_t>();
  PENSTOCK_RETURN_IF_ERROR(bytes);
  return ValuesOf<uint32_t>(*bytes);
}

std::string Dataset::ExtentChecksumPath() const { return ExtentChecksums(*this).ChunkPath(); }

Result<std::vector<std::vector<uint64_t>>> Dataset::ReadExtentChecksums() const {
  const SmallArray array = ExtentChecksums(*this);
  PENSTOCK_ASSIGN_OR_RETURN(const auto bytes, ReadArray(state_->directory, array));
  const std::vector<uint64_t> values = ValuesOf<uint64_t>(bytes);
  std::vector<std::vector<uint64_t>> checksums;
  for (int64_t block = 0; block < state_->grid.block_count(); ++block) {
    const auto first = values.begin() + block * array.shape[1];
    const uint64_t bytes = state_->blocks[static_cast<size_t>(block)].bytes;
    checksums.emplace_back(first,
                           first + static_cast<int64_t>((bytes + kExtentBytes - 1) / kExtentBytes));
  }
  return checksums;
}

bool LooksLikeDataset(const std::filesystem::path& directory) {
  std::error_code code;
  return std::filesystem::is_regular_file(directory / "nexus.json", code) &&
         std::filesystem::is_regular_file(directory / "data.zarr" / "zarr.json", code);
}

}  // namespace penstock
