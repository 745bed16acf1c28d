// Files that are recognised but not read by this version: users are told what they have.

#ifndef PENSTOCK_INGEST_KNOWN_SIGNATURES_H_
#define PENSTOCK_INGEST_KNOWN_SIGNATURES_H_

#include <cstddef>
#include <span>
#include <string_view>

namespace penstock::ingest {

struct KnownSignature {
  std::string_view what;      // "an HDF5 file"
  std::string_view evidence;  // "the HDF5 signature"
  std::string_view advice;    // what to do instead
};

// nullptr where nothing is known of it. Lives as long as the program.
const KnownSignature* FindKnownSignature(std::span<const std::byte> head);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_KNOWN_SIGNATURES_H_
