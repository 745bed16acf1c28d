#include "ingest/formats/zarr/zarr_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/zarr/array_reader.h"
#include "ingest/formats/zarr/select.h"

namespace penstock::ingest {

namespace {

// Decoded chunks that are kept for the frames still to come; see ChunkCache.
constexpr uint64_t kMaxCacheBytes = uint64_t{96} << 20;
constexpr uint64_t kFreeBytes = uint64_t{64} << 20;
// Frames that are looked at to say how many have the fill value.
constexpr uint64_t kMostCounted = 10000000;

bool IsDirectory(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool Exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// The directory that is meant: of a metadata file the one that it lies in, without a trailing
// slash.
std::filesystem::path DirectoryOf(const std::filesystem::path& path) {
  std::filesystem::path directory = IsDirectory(path) ? path : path.parent_path();
  if (directory.empty()) directory = ".";
  if (!directory.has_filename()) directory = directory.parent_path();
  return directory;
}

std::string NameOf(const std::filesystem::path& directory) {
  std::string name = directory.filename().string();
  if (name.empty() || name == "." || name == "..") {
    std::error_code error;
    name = std::filesystem::canonical(directory, error).filename().string();
  }
  return name;
}

// A dataset of ours, or the data.zarr in it: its folder.
std::optional<std::filesystem::path> PenstockDataset(const std::filesystem::path& directory) {
  if (Exists(directory / "nexus.json") && IsDirectory(directory / "data.zarr")) return directory;
  std::error_code error;
  std::filesystem::path at = std::filesystem::absolute(directory, error);
  for (int i = 0; i < 3 && at.has_parent_path(); ++i, at = at.parent_path()) {
    if (at.filename() == "data.zarr" && Exists(at.parent_path() / "nexus.json")) {
      return at.parent_path();
    }
  }
  return std::nullopt;
}

class ZarrSource final : public FrameSource {
 public:
  ZarrSource(SourceDescription description, std::unique_ptr<zarr::ArrayReader> reader)
      : description_(std::move(description)), reader_(std::move(reader)) {}

  const SourceDescription& description() const override { return description_; }

  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override {
    return reader_->Decode(static_cast<uint64_t>(first), static_cast<uint64_t>(last), destination,
                           context);
  }

 private:
  SourceDescription description_;
  std::unique_ptr<zarr::ArrayReader> reader_;
};

class SourceMaker {
 public:
  SourceMaker(std::shared_ptr<zarr::Store> store, zarr::ZarrSelection selection)
      : store_(std::move(store)), selection_(std::move(selection)) {}

  Result<std::unique_ptr<FrameSource>> Make() {
    const zarr::Node& array = selection_.array;
    PENSTOCK_ASSIGN_OR_RETURN(zarr::ArrayMetadata metadata, zarr::ReadArrayMetadata(array));
    PENSTOCK_ASSIGN_OR_RETURN(zarr::ChunkTable table, zarr::FindChunks(array, metadata));
    const std::vector<uint64_t> shape = metadata.shape;
    chunked::DropSingleAxes(selection_.axes, shape, false);
    AddFiles(table);
    const size_t first_file = description_.files.size() - table.files.size();
    const size_t tables = table.chunks.size() * sizeof(zarr::StoredChunk);
    auto reader =
        std::make_unique<zarr::ArrayReader>(array.path(), std::move(metadata), std::move(table),
                                            selection_.axes, first_file, kMaxCacheBytes);
    PENSTOCK_RETURN_IF_ERROR(CheckFrame(*reader));
    const chunked::ChunkGrid& grid = reader->grid();
    description_.format = "zarr";
    description_.suggested_name = SuggestedName();
    description_.signal = {static_cast<int64_t>(grid.rows()), static_cast<int64_t>(grid.columns())};
    description_.element_type = reader->metadata().type;
    description_.frame_count = static_cast<int64_t>(grid.frame_count());
    chunked::DescribeShape(selection_, shape, description_.frame_count, array.Place(),
                           store_->root.string(), description_);
    chunked::DescribeAxes(selection_, description_);
    description_.facts = std::move(selection_.facts);
    description_.vendor_headers = std::move(selection_.vendor_headers);
    std::ranges::move(selection_.anomalies, std::back_inserter(description_.anomalies));
    Report(*reader);
    ChunkHint hint;
    hint.frames = grid.FramesPerChunk();
    hint.scratch_bytes = reader->ScratchBytes();
    hint.shared_bytes = std::min(kMaxCacheBytes, grid.CacheBytes()) + tables;
    description_.chunks = hint;
    return std::unique_ptr<FrameSource>(
        std::make_unique<ZarrSource>(std::move(description_), std::move(reader)));
  }

 private:
  std::string SuggestedName() const {
    const std::filesystem::path name(store_->name);
    const std::string stem = name.stem().string();
    return stem.empty() ? "zarr" : stem;
  }

  void AddFiles(const zarr::ChunkTable& table) {
    for (const auto& [path, identity] : store_->files_read) {
      const bool json = zarr::IsMetadataName(path.filename().string());
      description_.files.push_back(
          {path, "metadata", json ? "application/json" : "application/octet-stream", identity});
    }
    for (const zarr::ChunkFile& file : table.files) {
      description_.files.push_back(
          {file.path, "frames", "application/octet-stream", file.identity});
    }
  }

  // No frame of many chunks of which next to none is there.
  Status CheckFrame(const zarr::ArrayReader& reader) const {
    const chunked::ChunkGrid& grid = reader.grid();
    const uint64_t there = reader.table().chunks.size();
    if (grid.frame_bytes() <= kFreeBytes || grid.frame_bytes() / grid.chunk_bytes() <= there) {
      return Status::Ok();
    }
    return Error::Corrupt("most of every frame is missing")
        .In(store_->root.string())
        .At(selection_.array.path())
        .Expected(fmt::format("{} chunks for a frame of {} x {}", grid.SignalChunks(), grid.rows(),
                              grid.columns()))
        .Found(fmt::format("{} in all", there))
        .Advice("check whether the directory was copied completely");
  }

  void Remark(std::string message) {
    Anomaly anomaly;
    anomaly.file = selection_.array.directory().string();
    anomaly.message = selection_.array.path() + ": " + std::move(message);
    description_.anomalies.push_back(std::move(anomaly));
  }

  void Report(const zarr::ArrayReader& reader) {
    const zarr::ChunkTable& table = reader.table();
    if (table.missing() > 0) {
      const uint64_t frames = reader.FilledFrames(kMostCounted);
      Remark(
          fmt::format("{} of {} chunks are not there: the {} of {} frames that they belong to "
                      "have the fill value there, {}",
                      table.missing(), table.grid_chunks, frames, reader.grid().frame_count(),
                      reader.metadata().fill_stated ? zarr::FillText(selection_.array)
                                                    : "which the array does not state: 0"));
    }
    if (table.surplus_files > 0) {
      Remark(
          fmt::format("{} files or folders are named like chunks beyond the shape of the array: "
                      "left out",
                      table.surplus_files));
    }
  }

  const std::shared_ptr<zarr::Store> store_;
  zarr::ZarrSelection selection_;
  SourceDescription description_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "zarr"; }
  std::string_view description() const override {
    return "Zarr 2 and 3 in a directory, HyperSpy .zspy";
  }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    if (IsDirectory(path)) {
      if (PenstockDataset(path)) return {Confidence::kYes, "a dataset of penstock's"};
      if (zarr::IsNodeDirectory(path)) {
        return {Confidence::kYes, "a directory with zarr.json, .zgroup or .zarray"};
      }
      return {};
    }
    const std::string name = path.filename().string();
    if (head.empty() || !zarr::IsMetadataName(name)) return {};
    return {Confidence::kYes, name + ", a metadata file of Zarr"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    if (!IsDirectory(path)) {
      // Says what is wrong where it is nothing at all.
      PENSTOCK_RETURN_IF_ERROR(IdentifyFile(path).ok() ? Status::Ok()
                                                       : Status(IdentifyFile(path).error()));
      if (!zarr::IsMetadataName(path.filename().string())) {
        return Error::InvalidArgument("this is no Zarr directory")
            .In(path.string())
            .Expected("a directory with zarr.json, .zgroup or .zarray, or one of these")
            .Found("another file")
            .Advice("unpack a Zarr store that is in a ZIP file, and give the folder");
      }
    }
    auto store = std::make_shared<zarr::Store>();
    store->root = DirectoryOf(path);
    store->name = NameOf(store->root);
    if (const auto dataset = PenstockDataset(store->root)) {
      return Error::InvalidArgument("this is a dataset of penstock's, not a source")
          .In(dataset->string())
          .Expected("an acquisition as it was recorded or saved")
          .Found("nexus.json beside data.zarr")
          .Advice("it needs no ingest: look at it with penstock info, or copy it as it is");
    }
    PENSTOCK_ASSIGN_OR_RETURN(const zarr::Node root, zarr::Node::Root(store));
    auto selection = zarr::Select(root, options.dataset_path);
    if (!selection.ok()) return std::move(selection).error();
    return SourceMaker(store, std::move(selection).value()).Make();
  }
};

}  // namespace

const SourceFormat& ZarrFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
