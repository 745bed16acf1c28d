#include "ingest/formats/hdf5/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ingest/formats/chunked/codecs.h"
#include "penstock/dataset/shuffle.h"

namespace penstock::ingest::hdf5 {

namespace {

struct KnownFilter {
  int32_t id;
  const char* name;
  FilterSupport support;
};

constexpr KnownFilter kFilters[] = {
    {kDeflate, "deflate", FilterSupport::kOwn},
    {kShuffle, "shuffle", FilterSupport::kOwn},
    {kFletcher32, "fletcher32", FilterSupport::kOwn},
    {kSzip, "szip", FilterSupport::kLibrary},
    {kNbit, "nbit", FilterSupport::kLibrary},
    {kScaleOffset, "scaleoffset", FilterSupport::kLibrary},
    {kLzf, "LZF", FilterSupport::kOwn},
    {kBlosc, "Blosc", FilterSupport::kOwn},
    {kLz4, "LZ4", FilterSupport::kOwn},
    {kBitshuffle, "bitshuffle", FilterSupport::kOwn},
    {kZstd, "Zstandard", FilterSupport::kOwn},
    {307, "bzip2", FilterSupport::kNone},
    {32013, "ZFP", FilterSupport::kNone},
    {32017, "SZ", FilterSupport::kNone},
    {32024, "SZ3", FilterSupport::kNone},
    {32026, "Blosc2", FilterSupport::kNone},
};

const KnownFilter* Find(int32_t id) {
  for (const KnownFilter& known : kFilters) {
    if (known.id == id) return &known;
  }
  return nullptr;
}

// Fletcher32 may have been applied to the chunk before it was shuffled or compressed.
constexpr size_t kChecksumBytes = 4;

Error Damaged(std::string what) { return Error::Corrupt(std::move(what)); }

Result<size_t> UndoShuffle(const Filter& filter, std::span<const std::byte> stored,
                           size_t element_size, std::span<std::byte> destination) {
  const size_t size = filter.parameters.empty() ? element_size : filter.parameters[0];
  if (stored.size() > destination.size()) return Damaged("shuffle: more bytes than the chunk has");
  if (size < 2 || stored.size() < size) {
    std::memcpy(destination.data(), stored.data(), stored.size());
    return stored.size();
  }
  const size_t elements = stored.size() / size;
  UnshuffleBytes(stored.data(), destination.data(), elements, size);
  const size_t done = elements * size;
  if (done < stored.size()) {
    std::memcpy(destination.data() + done, stored.data() + done, stored.size() - done);
  }
  return stored.size();
}

Result<size_t> UndoFletcher32(std::span<const std::byte> stored, std::span<std::byte> destination) {
  if (stored.size() < kChecksumBytes) return Damaged("fletcher32: no room for the checksum");
  const auto data = stored.first(stored.size() - kChecksumBytes);
  if (data.size() > destination.size()) {
    return Damaged("fletcher32: more bytes than the chunk has");
  }
  uint32_t kept;
  std::memcpy(&kept, stored.data() + data.size(), sizeof(kept));
  const uint32_t found = Fletcher32(data);
  // Libraries before 1.6.3 wrote the bytes of each half exchanged.
  const uint32_t exchanged = ((found & 0x00FF00FF) << 8) | ((found >> 8) & 0x00FF00FF);
  if (kept != found && kept != exchanged) {
    return Error::Corrupt("fletcher32: the checksum of the chunk is wrong")
        .Expected(fmt::format("{:08x}", kept))
        .Found(fmt::format("{:08x}", found));
  }
  std::memcpy(destination.data(), data.data(), data.size());
  return data.size();
}

Result<size_t> Undo(const Filter& filter, std::span<const std::byte> stored, size_t element_size,
                    std::span<std::byte> scratch, std::span<std::byte> destination) {
  switch (filter.id) {
    case kDeflate:
      return chunked::UndoZlib(stored, destination);
    case kShuffle:
      return UndoShuffle(filter, stored, element_size, destination);
    case kFletcher32:
      return UndoFletcher32(stored, destination);
    case kLzf:
      return UndoLzf(stored, destination);
    case kBlosc:
      return chunked::UndoBlosc(stored, destination);
    case kLz4:
      return UndoLz4(stored, destination);
    case kBitshuffle:
      return UndoBitshuffle(filter, stored, element_size, scratch, destination);
    case kZstd:
      return chunked::UndoZstd(stored, destination);
    default:
      return Error::Unsupported("filter " + FilterName(filter));
  }
}

// What lies between two filters: the chunk, its checksums, and what an incompressible chunk grows
// by where compressors follow each other.
uint64_t IntermediateBytes(uint64_t chunk_bytes) { return chunk_bytes + chunk_bytes / 64 + 4096; }

// Far above the 8 KiB that bitshuffle chooses by itself.
constexpr uint64_t kUsualBlockBytes = uint64_t{1} << 20;

bool Compresses(int32_t id) { return id != kShuffle && id != kFletcher32; }

}  // namespace

std::string FilterName(const Filter& filter) {
  const KnownFilter* known = Find(filter.id);
  if (known != nullptr && known->support == FilterSupport::kOwn) return known->name;
  const std::string name = known != nullptr ? known->name : filter.name;
  return name.empty() ? fmt::format("filter {}", filter.id)
                      : fmt::format("filter {} ({})", filter.id, name);
}

FilterSupport SupportOf(std::span<const Filter> filters) {
  FilterSupport support = FilterSupport::kOwn;
  for (const Filter& filter : filters) {
    const KnownFilter* known = Find(filter.id);
    if (known == nullptr || known->support == FilterSupport::kNone) return FilterSupport::kNone;
    if (known->support == FilterSupport::kLibrary) support = FilterSupport::kLibrary;
  }
  // H5Dread knows none of the registered filters, and mixing both ways is not worth it.
  if (support == FilterSupport::kLibrary) {
    for (const Filter& filter : filters) {
      if (filter.id > kScaleOffset) return FilterSupport::kNone;
    }
  }
  return support;
}

Error UnknownFilter(std::span<const Filter> filters) {
  const Filter* unknown = &filters.front();
  for (const Filter& filter : filters) {
    const KnownFilter* known = Find(filter.id);
    if (known == nullptr || known->support != FilterSupport::kOwn) unknown = &filter;
    if (known == nullptr || known->support == FilterSupport::kNone) break;
  }
  return Error::Unsupported("the chunks are compressed in a way that is not known here")
      .Expected(
          "deflate, shuffle, fletcher32, szip, nbit, scaleoffset, LZF, Blosc, LZ4, bitshuffle or "
          "Zstandard")
      .Found(FilterName(*unknown))
      .Advice(fmt::format("repack the file with the program that has the filter: h5repack -f NONE, "
                          "with the plugin of filter {} on HDF5_PLUGIN_PATH",
                          unknown->id));
}

uint64_t FilterScratchBytes(std::span<const Filter> filters, uint64_t chunk_bytes) {
  uint64_t bytes = 0;
  if (filters.size() > 1) bytes += 2 * IntermediateBytes(chunk_bytes);
  // Bitshuffle: a block before and after its bits were put back.
  for (const Filter& filter : filters) {
    if (filter.id != kBitshuffle) continue;
    uint64_t block = kUsualBlockBytes;
    if (filter.parameters.size() > 3) {
      block = std::max(block, uint64_t{filter.parameters[2]} * filter.parameters[3]);
    }
    bytes += 2 * IntermediateBytes(std::min(chunk_bytes, block));
  }
  return bytes;
}

Status UndoFilters(std::span<const Filter> filters, uint32_t mask,
                   std::span<const std::byte> stored, size_t element_size,
                   std::span<std::byte> scratch, std::span<std::byte> chunk) {
  std::vector<const Filter*> steps;
  for (size_t i = filters.size(); i-- > 0;) {
    if (i < 32 && ((mask >> i) & 1) != 0) continue;
    steps.push_back(&filters[i]);
  }
  if (steps.empty()) {
    if (stored.size() != chunk.size()) {
      return Error::Corrupt("the stored size of a chunk is not its size")
          .Expected(fmt::format("{} bytes", chunk.size()))
          .Found(fmt::format("{}", stored.size()));
    }
    std::memcpy(chunk.data(), stored.data(), chunk.size());
    return Status::Ok();
  }
  std::span<std::byte> buffers[2];
  if (filters.size() > 1) {
    const size_t bytes = IntermediateBytes(chunk.size());
    buffers[0] = scratch.first(bytes);
    buffers[1] = scratch.subspan(bytes, bytes);
    scratch = scratch.subspan(2 * bytes);
  }
  std::span<const std::byte> from = stored;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool last = i + 1 == steps.size();
    std::span<std::byte> to = last ? chunk : buffers[i % 2];
    if (!last) {
      // What comes before is the chunk with a checksum for each fletcher32 that was applied first,
      // unless it was compressed twice.
      size_t checksums = 0;
      bool exact = true;
      for (size_t k = i + 1; k < steps.size(); ++k) {
        checksums += steps[k]->id == kFletcher32 ? kChecksumBytes : 0;
        exact = exact && !Compresses(steps[k]->id);
      }
      if (exact) to = to.first(chunk.size() + checksums);
    }
    auto written = Undo(*steps[i], from, element_size, scratch, to);
    if (!written.ok()) return std::move(written).error();
    from = to.first(*written);
  }
  if (from.size() != chunk.size()) {
    return Error::Corrupt("a chunk is not as large as the dataset says")
        .Expected(fmt::format("{} bytes", chunk.size()))
        .Found(fmt::format("{}", from.size()));
  }
  return Status::Ok();
}

}  // namespace penstock::ingest::hdf5
