// A choice of detector pixels as runs of neighbours in C order.

#ifndef PENSTOCK_READER_OPERATIONS_PIXEL_RUNS_H_
#define PENSTOCK_READER_OPERATIONS_PIXEL_RUNS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "penstock/reader/reduction.h"

namespace penstock {

class PixelRuns {
 public:
  struct Run {
    int64_t first = 0;
    int64_t last = 0;  // behind it
  };

  PixelRuns() = default;
  // Pixels for which chosen(p) holds, of `pixels`.
  template <typename Chosen>
  PixelRuns(int64_t pixels, Chosen&& chosen) {
    for (int64_t p = 0; p < pixels; ++p) {
      if (!chosen(p)) continue;
      ++count_;
      if (!runs_.empty() && runs_.back().last == p) {
        runs_.back().last = p + 1;
      } else {
        runs_.push_back({p, p + 1});
      }
    }
  }

  int64_t pixel_count() const { return count_; }

  // use(offset in the tile, pixels) for every run of chosen pixels in the tile.
  template <typename Use>
  void ForTile(const Tile& tile, Use&& use) const {
    const int64_t end = tile.first_pixel + tile.pixel_count;
    auto run = std::ranges::upper_bound(runs_, tile.first_pixel, {}, &Run::last);
    for (; run != runs_.end() && run->first < end; ++run) {
      const int64_t first = std::max(run->first, tile.first_pixel);
      use(static_cast<size_t>(first - tile.first_pixel),
          static_cast<size_t>(std::min(run->last, end) - first));
    }
  }

 private:
  std::vector<Run> runs_;
  int64_t count_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_PIXEL_RUNS_H_
