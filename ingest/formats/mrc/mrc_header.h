// The header of an MRC file, and how its mode stores pixels.

#ifndef PENSTOCK_INGEST_FORMATS_MRC_MRC_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_MRC_MRC_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingest/formats/records/text.h"
#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::mrc {

inline constexpr size_t kHeaderBytes = 1024;

struct PixelFormat {
  ElementType element_type = ElementType::kInt16;  // in memory
  size_t swap_bytes = 1;                           // size of the numbers in the file
  bool nibbles = false;                            // two pixels in a byte, the first one low
  bool half = false;                               // float16, widened to float32
};

struct Header {
  bool big_endian = false;
  int32_t columns = 0;
  int32_t rows = 0;
  int32_t sections = 0;
  int32_t mode = 0;
  PixelFormat pixels;
  uint64_t extended_bytes = 0;
  std::string extended_type;  // "FEI1", ...; "" where it is not stated
  std::vector<std::byte> fixed;
  std::vector<std::string> complaints;

  template <typename T>
  T Load(size_t offset) const {
    return big_endian ? records::LoadBig<T>(fixed, offset) : records::LoadLittle<T>(fixed, offset);
  }
  uint64_t DataOffset() const { return kHeaderBytes + extended_bytes; }
  // Of a section in the file; every row of 4-bit pixels begins with a byte of its own.
  uint64_t SectionBytes() const;
};

// Whether these 1024 bytes are a header. With the word 'MAP ' the size of the file does not matter;
// without, the header must fill it exactly.
bool LooksLikeHeader(std::span<const std::byte> head, uint64_t file_bytes);

Result<Header> ReadHeader(int fd, uint64_t file_bytes, const std::filesystem::path& path);

// Axes, facts and vendor headers, out of the extended header too.
Status Describe(const Header& header, int fd, const std::filesystem::path& path,
                SourceDescription& source);

}  // namespace penstock::ingest::mrc

#endif  // PENSTOCK_INGEST_FORMATS_MRC_MRC_HEADER_H_
