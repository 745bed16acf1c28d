// Undoes the two transpositions that Blosc and HDF5 filters apply before compression. The best
// instruction set of the machine is chosen at run time; each function has a plain twin in namespace
// `scalar`. Pure and thread-safe; memory may have any alignment and must not overlap.

#ifndef PENSTOCK_DATASET_SHUFFLE_H_
#define PENSTOCK_DATASET_SHUFFLE_H_

#include <cstddef>

namespace penstock {

// Source: plane b holds byte b of every element. Writes `elements * element_size` bytes.
void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size);

// Bitshuffle's blocks. Source: plane 8 * b + k holds bit k of byte b of every element, element j as
// bit j % 8 of byte j / 8. `elements` is a multiple of 8. `scratch` has elements * element_size
// bytes; it is not used for elements of one byte and may then be null.
void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size);

namespace scalar {

void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size);
void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size);

// Columns [first, columns) of eight planes of `columns` bytes each; column i gives the bytes
// destination[8 * i] to destination[8 * i + 7].
void UntransposeColumns(const std::byte* planes, std::byte* destination, size_t first,
                        size_t columns);
// Elements [first, elements) of UnshuffleBytes.
void UnshuffleRest(const std::byte* source, std::byte* destination, size_t first, size_t elements,
                   size_t element_size);

}  // namespace scalar
}  // namespace penstock

#endif  // PENSTOCK_DATASET_SHUFFLE_H_
