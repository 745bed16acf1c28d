#ifndef PENSTOCK_READER_MASKS_MASK_STACK_H_
#define PENSTOCK_READER_MASKS_MASK_STACK_H_

#include <span>

#include "penstock/reader/mask.h"

namespace penstock {

// Masks of one shape, where they are: a stack is as large as many frames, and copying it would be a
// part of the pass that shows.
using MaskStack = std::span<const Mask* const>;

}  // namespace penstock

#endif  // PENSTOCK_READER_MASKS_MASK_STACK_H_
