// DiskSums: what of a frame lies inside of a disk and what lies well outside of it, in one go over
// the few rows that the disk has.

#ifndef PENSTOCK_INGEST_PIPELINE_DISK_SUMS_H_
#define PENSTOCK_INGEST_PIPELINE_DISK_SUMS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "ingest/pipeline/bright_disk.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

// Dark field is what is farther from the centre than so many radii of the bright disk: its edge is
// neither bright field nor dark field.
inline constexpr double kDarkFieldFrom = 1.25;

// Sums over one frame; NaN pixels are left out, as in the frame's own sum.
struct DiskSum {
  double bright = 0;  // within the radius
  double near = 0;    // within kDarkFieldFrom radii; the frame's sum less this is dark field
};

// Immutable; thread-safe.
class DiskSums {
 public:
  // Precondition: real pixels.
  DiskSums(const DatasetShape& shape, const BrightDisk& disk);

  // One frame, C order, aligned for the element type.
  DiskSum Of(std::span<const std::byte> pixels) const { return sum_(*this, pixels); }

 private:
  // Of one row, as indices into the frame: near [first, last), bright [bright_first, bright_last).
  struct Row {
    size_t first;
    size_t bright_first;
    size_t bright_last;
    size_t last;
  };
  using Sum = DiskSum (*)(const DiskSums&, std::span<const std::byte>);

  template <typename T>
  static DiskSum SumAs(const DiskSums& self, std::span<const std::byte> bytes);

  std::vector<Row> rows_;
  Sum sum_ = nullptr;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_DISK_SUMS_H_
