// A picture that grows in the terminal while frames are processed: two values per character cell
// (upper half-block), redrawn in place.

#ifndef PENSTOCK_TOOLS_LIVE_PREVIEW_H_
#define PENSTOCK_TOOLS_LIVE_PREVIEW_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/png.h"

namespace penstock::tools {

// Characters and escape sequences of one drawing, `columns` x `lines` characters at most. Values
// that are not finite are drawn dark blue: not there yet.
std::string DrawHalfBlocks(ImageShape shape, std::span<const double> values, int columns,
                           int lines);

// Not thread-safe. The last drawing stays on the screen.
class LivePreview {
 public:
  explicit LivePreview(std::FILE* terminal);

  // True when the last drawing is old enough for another (a tenth of a second).
  bool IsDue() const;
  void Draw(ImageShape shape, std::span<const double> values, const std::string& caption);

 private:
  std::FILE* terminal_;
  int columns_ = 80;
  int lines_ = 24;
  int drawn_lines_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_LIVE_PREVIEW_H_
