// The weights of a mask in the order in which a file has the pixels.

#ifndef PENSTOCK_READER_OPERATIONS_ORDERED_WEIGHTS_H_
#define PENSTOCK_READER_OPERATIONS_ORDERED_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "penstock/reader/mask.h"

namespace penstock {

class OrderedWeights {
 public:
  // All have to outlive it. `good`: null where all pixels are; the weights of others count as 0.
  OrderedWeights(const Mask& mask, std::span<const uint32_t> order,
                 const std::vector<uint8_t>* good)
      : weights_(mask.weights.data()), order_(order), good_(good ? good->data() : nullptr) {}

  // values[i] = the weight of pixel order[first + i], which has to be a whole number that a Value
  // holds. Value: int16_t, uint8_t.
  template <typename Value>
  void Copy(size_t first, std::span<Value> values) const;

 private:
  // What is a row from there on.
  void Prefetch(size_t place) const;

  const double* weights_;
  std::span<const uint32_t> order_;
  const uint8_t* good_;
};

// A bit per value, which are 0 or 1, low bits first. values.size() is a multiple of 32.
void PackBits(std::span<const uint8_t> values, uint32_t* words);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_ORDERED_WEIGHTS_H_
