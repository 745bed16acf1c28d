// Several files in one run of bytes, since many acquisitions are: "PFS1", then for each file the
// length of its name (1 byte), the name, the length of its contents (4 bytes, little-endian), the
// contents. A '/' in a name makes folders. Anything else is the contents of one file.

#ifndef PENSTOCK_TESTS_FUZZ_FILE_SET_H_
#define PENSTOCK_TESTS_FUZZ_FILE_SET_H_

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace penstock::ingest {

// Writes the files into `folder`, which must exist, and returns the path of the first. Names are
// made harmless; contents that the input does not hold are left out.
std::filesystem::path WriteFileSet(std::span<const std::byte> input,
                                   const std::filesystem::path& folder,
                                   std::string_view name_of_single_file);

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_FUZZ_FILE_SET_H_
