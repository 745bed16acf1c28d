// The plain twins of unpack.h: what the kernels are held against, and what they use for the ends
// of rows that do not fill a vector.

#ifndef PENSTOCK_INGEST_UNPACK_UNPACK_SCALAR_H_
#define PENSTOCK_INGEST_UNPACK_UNPACK_SCALAR_H_

#include <cstddef>
#include <span>

#include "ingest/unpack/unpack.h"

namespace penstock::ingest::scalar {

void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels);
void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels);
void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels);
void UnpackUint12Blocks(const Uint12Blocks& blocks);
void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels);
void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian);
void UnpackR64Depth1(std::span<const PixelRows> chips);
void UnpackR64Depth6(std::span<const PixelRows> chips);
void UnpackR64Depth12(std::span<const PixelRows> chips);
void UnpackR64Depth24(std::span<const PixelRows> chips);

}  // namespace penstock::ingest::scalar

#endif  // PENSTOCK_INGEST_UNPACK_UNPACK_SCALAR_H_
