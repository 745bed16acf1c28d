// .npy files that are in memory: members of archives.

#ifndef PENSTOCK_BASE_NPY_MEMORY_H_
#define PENSTOCK_BASE_NPY_MEMORY_H_

#include <cstddef>
#include <filesystem>
#include <span>

#include "penstock/base/npy.h"
#include "penstock/base/result.h"

namespace penstock {

// ReadNpy (npy.h) from the bytes of a whole file. Pure, thread-safe.
Result<NpyArray> ParseNpy(std::span<const std::byte> file,
                          const std::filesystem::path& path_for_errors);

}  // namespace penstock

#endif  // PENSTOCK_BASE_NPY_MEMORY_H_
