#include <algorithm>
#include <utility>

#include "catalog/dataset/checksum_writer.h"
#include "catalog/dataset/json_text.h"
#include "catalog/dataset/nexus_file.h"
#include "catalog/dataset/nexus_tree.h"
#include "catalog/dataset/small_arrays.h"
#include "catalog/dataset/zarr_group.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum_list.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock {

namespace {

Status CheckContents(const std::filesystem::path& directory, const DatasetDescription& description,
                     const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(ValidateBlockGrid(description.shape, description.grid));
  const auto blocks = static_cast<size_t>(description.grid.block_count());
  const auto frames = static_cast<size_t>(description.shape.frame_count());
  const bool statistics_fit = contents.statistics.empty() || contents.statistics.size() == blocks;
  if (contents.blocks.size() != blocks || !statistics_fit || contents.image_key.size() != frames) {
    return Error::Internal("the parts of the dataset do not belong together")
        .In(directory)
        .Expected(std::to_string(blocks) + " blocks, " + std::to_string(frames) + " frames")
        .Found(std::to_string(contents.blocks.size()) + " block records, " +
               std::to_string(contents.statistics.size()) + " block statistics, " +
               std::to_string(contents.image_key.size()) + " image keys");
  }
  const PixelMask& mask = description.pixel_mask;
  const auto pixels = static_cast<size_t>(description.shape.signal.pixel_count());
  if (!mask.values.empty() && mask.values.size() != pixels) {
    return Error::Internal("the pixel mask does not fit the frames")
        .In(directory)
        .Expected(std::to_string(pixels) + " pixels")
        .Found(std::to_string(mask.values.size()));
  }
  for (size_t block = 0; block < blocks; ++block) {
    const BlockRecord& record = contents.blocks[block];
    if (contents.growing && record.checksum.empty() && record.extent_checksum.empty()) continue;
    const bool size_fits = contents.compression != Compression::kNone ||
                           record.bytes == BlockLayout::Of(description.shape, description.grid,
                                                           static_cast<int64_t>(block))
                                               .file_bytes;
    if (record.block == static_cast<int64_t>(block) && size_fits &&
        record.extent_checksum.size() == (record.bytes + kExtentBytes - 1) / kExtentBytes) {
      continue;
    }
    return Error::Internal("a block record does not fit the layout")
        .In(directory)
        .At("block " + std::to_string(block));
  }
  return {};
}

SmallArray ExtentArray(const DatasetDescription& description, const DatasetContents& contents) {
  uint64_t largest = 0;
  // Its shape stays as it is while blocks are added.
  if (contents.growing) {
    largest = LargestBlock(description.shape, description.grid, contents.compression);
  }
  for (const BlockRecord& record : contents.blocks) largest = std::max(largest, record.bytes);
  return ExtentChecksumArray(static_cast<int64_t>(contents.blocks.size()), largest);
}

// HDF5 has no view of compressed blocks, and no lasting one of very many.
bool HasNexusFile(const DatasetDescription& description, const DatasetContents& contents) {
  return contents.compression == Compression::kNone &&
         description.grid.block_count() <= kMaximumVirtualSources;
}

std::vector<uint64_t> ExtentChecksums(const SmallArray& array, const DatasetContents& contents) {
  std::vector<uint64_t> values(static_cast<size_t>(array.shape[0] * array.shape[1]));
  for (const BlockRecord& record : contents.blocks) {
    std::copy(record.extent_checksum.begin(), record.extent_checksum.end(),
              values.begin() + record.block * array.shape[1]);
  }
  return values;
}

Status WriteSmallArrays(const std::filesystem::path& directory,
                        const DatasetDescription& description, const DatasetContents& contents) {
  const DatasetShape& shape = description.shape;
  const BlockGrid& grid = description.grid;
  for (size_t block = 0; block < contents.statistics.size(); ++block) {
    PENSTOCK_RETURN_IF_ERROR(WriteBlockStatistics(
        directory, shape, grid, static_cast<int64_t>(block), contents.statistics[block]));
  }
  PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(directory, ImageKeyArray(shape), 0, 0,
                                          std::as_bytes(std::span(contents.image_key))));

  if (!description.pixel_mask.values.empty()) {
    PENSTOCK_RETURN_IF_ERROR(
        WriteArrayPart(directory, PixelMaskArray(shape), 0, 0,
                       std::as_bytes(std::span(description.pixel_mask.values))));
  }

  const SmallArray checksums = ExtentArray(description, contents);
  const std::vector<uint64_t> values = ExtentChecksums(checksums, contents);
  PENSTOCK_RETURN_IF_ERROR(
      WriteArrayPart(directory, checksums, 0, 0, std::as_bytes(std::span(values))));

  const std::vector<std::string> names = AxisNames(shape);
  const std::vector<int64_t> extents = AxisExtents(shape);
  for (size_t dimension = 0; dimension < names.size(); ++dimension) {
    const auto found = description.axes.find(names[dimension]);
    if (found == description.axes.end()) continue;
    const AxisCalibration& axis = found->second;
    std::vector<double> coordinates;
    for (int64_t i = 0; i < extents[dimension]; ++i) {
      coordinates.push_back(axis.offset + static_cast<double>(i) * axis.step);
    }
    PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(directory,
                                            AxisArray(names[dimension], extents[dimension], axis),
                                            0, 0, std::as_bytes(std::span(coordinates))));
  }
  return {};
}

ChecksumList BlockDigests(const DatasetDescription& description, const DatasetContents& contents) {
  ChecksumList digests;
  for (const BlockRecord& record : contents.blocks) {
    digests[BlockRelativePath(description.shape, description.grid, record.block)] = record.checksum;
  }
  return digests;
}

// Of an array of one chunk, by one rename.
template <typename T>
Status ReplaceArray(const std::filesystem::path& directory, const SmallArray& array,
                    const std::vector<T>& values) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  return WriteFileAtomically(directory / array.ChunkPath(),
                             {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

Status WriteGrowingDescription(const std::filesystem::path& dataset_directory,
                               const DatasetDescription& description,
                               const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(CheckContents(dataset_directory, description, contents));
  PENSTOCK_RETURN_IF_ERROR(WriteSmallArrays(dataset_directory, description, contents));
  PENSTOCK_RETURN_IF_ERROR(WriteZarrMetadata(dataset_directory, description, contents.compression,
                                             ExtentArray(description, contents)));
  PENSTOCK_ASSIGN_OR_RETURN(const Json tree, MakeNexusTree(description, contents, {}));
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(dataset_directory / "nexus.json", JsonText(tree)));
  if (!HasNexusFile(description, contents)) return {};
  return WriteNexusFile(dataset_directory, tree);
}

Status UpdateGrowingDescription(const std::filesystem::path& dataset_directory,
                                const DatasetDescription& description,
                                const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(CheckContents(dataset_directory, description, contents));
  const SmallArray extents = ExtentArray(description, contents);
  PENSTOCK_RETURN_IF_ERROR(
      ReplaceArray(dataset_directory, extents, ExtentChecksums(extents, contents)));
  PENSTOCK_ASSIGN_OR_RETURN(const Json tree, MakeNexusTree(description, contents, {}));
  PENSTOCK_RETURN_IF_ERROR(WriteFileAtomically(dataset_directory / "nexus.json", JsonText(tree)));
  // Last, but for data.nxs, which takes it in.
  PENSTOCK_RETURN_IF_ERROR(
      ReplaceArray(dataset_directory, ImageKeyArray(description.shape), contents.image_key));
  if (!HasNexusFile(description, contents)) return {};
  return ReplaceNexusFile(dataset_directory, tree);
}

Status WriteDescription(const std::filesystem::path& dataset_directory,
                        const DatasetDescription& description, const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(CheckContents(dataset_directory, description, contents));
  PENSTOCK_RETURN_IF_ERROR(WriteSmallArrays(dataset_directory, description, contents));
  PENSTOCK_RETURN_IF_ERROR(WriteZarrMetadata(dataset_directory, description, contents.compression,
                                             ExtentArray(description, contents)));
  PENSTOCK_ASSIGN_OR_RETURN(
      const Json tree,
      MakeNexusTree(description, contents,
                    PresentFrameHeaderArrays(dataset_directory, description.shape)));
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(dataset_directory / "nexus.json", JsonText(tree)));
  if (HasNexusFile(description, contents)) {
    PENSTOCK_RETURN_IF_ERROR(WriteNexusFile(dataset_directory, tree));
  }
  return WriteChecksumList(dataset_directory, BlockDigests(description, contents));
}

}  // namespace penstock
