// A stack of masks, packed for the kernel that suits the data and the weights.

#ifndef PENSTOCK_READER_OPERATIONS_MASK_ENGINE_H_
#define PENSTOCK_READER_OPERATIONS_MASK_ENGINE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/reader/mask.h"
#include "penstock/reader/reduction.h"
#include "reader/masks/mask_stack.h"
#include "reader/operations/tile_size.h"

namespace penstock {

// Immutable after Make, so that all workers share one.
class MaskEngine {
 public:
  // kUnsupported for complex and 64-bit elements.
  static Result<std::unique_ptr<const MaskEngine>> Make(MaskStack masks, ElementType element_type,
                                                        TileSize tile);
  virtual ~MaskEngine() = default;

  // True: integer totals, otherwise float64 totals.
  virtual bool is_exact() const = 0;
  // Adds the products of the tile's pixels: totals[frame * masks + mask]. Only the one that fits
  // is_exact() may be called.
  virtual void Multiply(const Tile& tile, int64_t* totals) const;
  virtual void Multiply(const Tile& tile, double* totals) const;
  // Of an engine for packed pixels (packed_mask_engine.h), the only one that may be called.
  virtual void Multiply(const PackedTile& tile, int64_t* totals) const;
  // To be added to every complete total of mask k.
  const std::vector<int64_t>& bias() const { return bias_; }

 protected:
  std::vector<int64_t> bias_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_MASK_ENGINE_H_
