// Pictures of results: enlarged to a size that can be looked at, with a bar or a wheel that says
// which level or colour means what.

#ifndef PENSTOCK_TOOLS_PICTURE_H_
#define PENSTOCK_TOOLS_PICTURE_H_

#include <filesystem>
#include <span>
#include <string>

#include "penstock/base/display.h"
#include "penstock/base/png.h"
#include "penstock/base/result.h"

namespace penstock::tools {

struct PictureOptions {
  std::string title;
  DisplayScale scale = DisplayScale::kLinear;
  double clip = 0.001;  // share of the values clipped at each end
};

// A grey PNG: every value as a square of zoom x zoom pixels (zoom 1 from 256 values on), and to its
// right a bar from black to white with the values of both ends drawn beside it. Range, scale and
// zoom also stand in text chunks ("Penstock:Minimum", ...), so that the picture can be read back.
Status WritePicture(const std::filesystem::path& path, ImageShape shape,
                    std::span<const double> values, const PictureOptions& options);

// A colour PNG of a field of vectors about their mean: hue for direction, brightness for length,
// and to its right a wheel that has every vector where it points to, rows down, with the length at
// its rim below. Text chunks: the mean, the longest vector, that of full brightness
// ("Penstock:BrightestDeviation"), the wheel as ROW,COLUMN,RADIUS.
Status WriteVectorPicture(const std::filesystem::path& path, ImageShape shape,
                          std::span<const double> along_rows, std::span<const double> along_columns,
                          const std::string& title);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PICTURE_H_
