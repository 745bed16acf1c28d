#include "tools/penstock/live_preview.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "penstock/base/display.h"

namespace penstock::tools {

namespace {

struct Colour {
  int red;
  int green;
  int blue;
};
constexpr Colour kNotThereYet{20, 24, 60};

}  // namespace

std::string DrawHalfBlocks(ImageShape shape, std::span<const double> values, int columns,
                           int lines) {
  // Whole values per dot, the same along both axes, so that the picture keeps its proportions.
  const int64_t step = std::max({int64_t{1}, (shape.columns + columns - 1) / columns,
                                 (shape.rows + 2 * lines - 1) / (2 * lines)});
  const int64_t dot_rows = (shape.rows + step - 1) / step;
  const int64_t dot_columns = (shape.columns + step - 1) / step;
  std::vector<double> dots(static_cast<size_t>(dot_rows * dot_columns),
                           std::numeric_limits<double>::quiet_NaN());
  for (int64_t row = 0; row < dot_rows; ++row) {
    for (int64_t column = 0; column < dot_columns; ++column) {
      double sum = 0;
      int64_t count = 0;
      for (int64_t y = row * step; y < std::min((row + 1) * step, shape.rows); ++y) {
        for (int64_t x = column * step; x < std::min((column + 1) * step, shape.columns); ++x) {
          const double value = values[static_cast<size_t>(y * shape.columns + x)];
          if (!std::isfinite(value)) continue;
          sum += value;
          ++count;
        }
      }
      if (count > 0) {
        dots[static_cast<size_t>(row * dot_columns + column)] = sum / static_cast<double>(count);
      }
    }
  }
  const std::vector<uint8_t> levels = ToGrey8(dots, RobustRange(dots));
  const auto colour = [&](int64_t row, int64_t column) {
    const auto at = static_cast<size_t>(row * dot_columns + column);
    if (row >= dot_rows || !std::isfinite(dots[at])) return kNotThereYet;
    return Colour{levels[at], levels[at], levels[at]};
  };
  std::string text;
  for (int64_t row = 0; row < dot_rows; row += 2) {
    for (int64_t column = 0; column < dot_columns; ++column) {
      const Colour above = colour(row, column);
      const Colour below = colour(row + 1, column);
      text += fmt::format("\x1b[38;2;{};{};{};48;2;{};{};{}m\u2580", above.red, above.green,
                          above.blue, below.red, below.green, below.blue);
    }
    text += "\x1b[0m\n";
  }
  return text;
}

LivePreview::LivePreview(std::FILE* terminal) : terminal_(terminal) {
  winsize size{};
  if (ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    columns_ = size.ws_col;
    lines_ = size.ws_row;
  }
}

bool LivePreview::IsDue() const {
  return std::chrono::steady_clock::now() - last_ > std::chrono::milliseconds(100);
}

void LivePreview::Draw(ImageShape shape, std::span<const double> values,
                       const std::string& caption) {
  std::string text;
  if (drawn_lines_ > 0) text += fmt::format("\x1b[{}A\r", drawn_lines_);
  const std::string picture =
      DrawHalfBlocks(shape, values, std::max(columns_ - 1, 8), std::max(lines_ - 3, 4));
  text += picture;
  text += "\x1b[2K" + caption.substr(0, static_cast<size_t>(std::max(columns_ - 1, 8))) + "\n";
  drawn_lines_ = static_cast<int>(std::count(picture.begin(), picture.end(), '\n')) + 1;
  std::fwrite(text.data(), 1, text.size(), terminal_);
  std::fflush(terminal_);
  last_ = std::chrono::steady_clock::now();
}

}  // namespace penstock::tools
