#include "penstock/dataset/stored_statistics.h"

#include <cstring>
#include <string>
#include <type_traits>

#include "catalog/dataset/small_arrays.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumListBytes = uint64_t{256} << 20;

bool MayHaveStatistics(const Dataset& dataset) {
  return dataset.state() == "sealed" && !IsComplex(dataset.shape().element_type);
}

Result<ChecksumList> ReadList(const Dataset& dataset) {
  const std::filesystem::path path = dataset.directory() / kChecksumListName;
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaximumListBytes));
  return ParseChecksumList(text, path);
}

Result<std::vector<std::byte>> ReadChecked(const Dataset& dataset, const ChecksumList& list,
                                           const SmallArray& array) {
  const std::string path = array.ChunkPath();
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, ReadArray(dataset.directory(), array));
  const auto known = list.find(path);
  const std::string digest = HashBytes(bytes);
  if (known == list.end() || known->second != digest) {
    return Error::Corrupt("the statistics are not those that were written")
        .In((dataset.directory() / path).string())
        .Expected(known == list.end() ? std::string("an entry in checksums.xxh128") : known->second)
        .Found(digest)
        .Advice("run penstock verify on the dataset");
  }
  return bytes;
}

// Calls put(statistics of the frame, value) for every element.
template <typename Put>
void ForValues(ElementType type, const std::vector<std::byte>& bytes,
               std::vector<FrameStatistics>& frames, Put&& put) {
  VisitElementType(type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T>) {
      for (size_t f = 0; f < frames.size(); ++f) {
        T value{};
        std::memcpy(&value, bytes.data() + f * sizeof(T), sizeof(T));
        put(frames[f], value);
      }
    }
  });
}

template <typename T>
void Set(FrameStatistics::Number& number, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    number.as_float = value;
  } else if constexpr (std::is_signed_v<T>) {
    number.as_int = value;
  } else {
    number.as_uint = value;
  }
}

}  // namespace

Result<std::optional<std::vector<FrameStatistics>>> ReadFrameStatistics(const Dataset& dataset) {
  std::optional<std::vector<FrameStatistics>> none;
  if (!MayHaveStatistics(dataset)) return none;
  PENSTOCK_ASSIGN_OR_RETURN(const ChecksumList list, ReadList(dataset));
  std::vector<FrameStatistics> frames(static_cast<size_t>(dataset.shape().frame_count()));
  for (const SmallArray& array : FrameStatisticsArrays(dataset.shape())) {
    auto bytes = ReadChecked(dataset, list, array);
    if (!bytes.ok() && bytes.error().kind() == ErrorKind::kNotFound) return none;
    PENSTOCK_RETURN_IF_ERROR(bytes);
    const std::string name = array.name.substr(array.name.rfind('/') + 1);
    ForValues(array.type, *bytes, frames, [&](FrameStatistics& frame, auto value) {
      if (name == "minimum_value") Set(frame.minimum, value);
      if (name == "maximum_value") Set(frame.maximum, value);
      if (name == "sum") Set(frame.sum, value);
      if (name == "nan_count") frame.nan_count = static_cast<uint64_t>(value);
      if (name == "sum_sq") {
        frame.sum_of_squares = static_cast<double>(value);
        if constexpr (std::is_same_v<decltype(value), uint64_t>) frame.sum_of_squares_exact = value;
      }
    });
  }
  return std::optional(std::move(frames));
}

Result<std::optional<std::vector<std::vector<uint64_t>>>> ReadBlockHistograms(
    const Dataset& dataset) {
  std::optional<std::vector<std::vector<uint64_t>>> none;
  if (!MayHaveStatistics(dataset)) return none;
  PENSTOCK_ASSIGN_OR_RETURN(const ChecksumList list, ReadList(dataset));
  const SmallArray array = BlockStatisticsArrays(dataset.shape(), dataset.grid()).front();
  auto bytes = ReadChecked(dataset, list, array);
  if (!bytes.ok() && bytes.error().kind() == ErrorKind::kNotFound) return none;
  PENSTOCK_RETURN_IF_ERROR(bytes);
  const auto bins = static_cast<size_t>(array.shape[1]);
  std::vector<std::vector<uint64_t>> histograms(static_cast<size_t>(array.shape[0]),
                                                std::vector<uint64_t>(bins));
  for (size_t block = 0; block < histograms.size(); ++block) {
    std::memcpy(histograms[block].data(), bytes->data() + block * bins * sizeof(uint64_t),
                bins * sizeof(uint64_t));
  }
  return std::optional(std::move(histograms));
}

}  // namespace penstock
