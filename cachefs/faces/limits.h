// How much of a dataset's files is read to make its faces.

#ifndef PENSTOCK_CACHEFS_FACES_LIMITS_H_
#define PENSTOCK_CACHEFS_FACES_LIMITS_H_

#include <cstdint>

namespace penstock::cachefs {

inline constexpr uint64_t kLargestSidecar = uint64_t{64} << 20;
inline constexpr uint64_t kLargestChecksumList = uint64_t{64} << 20;

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_LIMITS_H_
