// checksums.xxh128: one line "DIGEST  ./path" per file, as xxh128sum writes and checks it.

#ifndef PENSTOCK_DATASET_CHECKSUM_LIST_H_
#define PENSTOCK_DATASET_CHECKSUM_LIST_H_

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock {

inline constexpr char kChecksumListName[] = "checksums.xxh128";

// By path relative to the dataset, without "./".
using ChecksumList = std::map<std::string, std::string>;

std::string ChecksumListText(const ChecksumList& list);

// kCorrupt, with the line, for anything but digests and paths inside of the dataset.
Result<ChecksumList> ParseChecksumList(std::string_view text,
                                       const std::filesystem::path& name_for_errors);

// 32 lower-case hexadecimal digits.
bool IsDigest(std::string_view text);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_CHECKSUM_LIST_H_
