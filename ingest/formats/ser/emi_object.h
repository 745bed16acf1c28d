// The part of a TIA .emi file that describes one .ser file of the acquisition.
//
// An EMI is binary with XML blocks <ObjectInfo>...</ObjectInfo>. Most blocks describe displays and
// overview images, so their order tells nothing; in front of the block that belongs to NAME_k.ser
// stands the path of that file, and in front of the path a text, "Real Space" or "Reciprocal
// Space", that says in which space the calibration of its images is. docs/formats/ser.md.

#ifndef PENSTOCK_INGEST_FORMATS_SER_EMI_OBJECT_H_
#define PENSTOCK_INGEST_FORMATS_SER_EMI_OBJECT_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::ingest::ser {

struct EmiObject {
  uint64_t offset = 0;     // of <ObjectInfo> in the EMI
  std::string xml;         // the block as it is, converted to UTF-8
  std::string ser_path;    // as written in front of the block, "" where there is none
  std::string space;       // "Real Space", "Reciprocal Space" or ""
  std::string match_note;  // by which evidence the block belongs to the series
};

// The blocks of the EMI that hold more than an identifier, in file order. At most 4096 blocks of at
// most 16 MiB are considered; memory stays within 64 MiB.
Result<std::vector<EmiObject>> ReadEmiObjects(const std::filesystem::path& path);

// The block of series number `k` with images: by the path in front of it, or, where no block has
// such a path, the k-th block if it describes images.
std::optional<EmiObject> SelectEmiObject(std::vector<EmiObject> objects, uint32_t k);

// "scan_2.ser" belongs to number 2 of "scan"; nothing for a name without a number.
struct SeriesName {
  std::string stem;
  uint32_t number = 0;
};
std::optional<SeriesName> ParseSeriesName(const std::string& file_name);

// True when the file holds an ObjectInfo block within its first 64 MiB.
bool LooksLikeEmi(const std::filesystem::path& path);

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_EMI_OBJECT_H_
