// Masks over the detector: geometric shapes, arrays from .npy files, and their text form.
//
// Coordinates: (row, column) in pixels; the centre of pixel (r, c) has the coordinates (r, c), so
// the first pixel reaches from -0.5 to 0.5. A pixel belongs to a shape when its centre does; shapes
// are therefore binary (0 or 1), and sums of integer data over them are exact.
//
// Pure functions and plain values, thread-safe.

#ifndef PENSTOCK_READER_MASK_H_
#define PENSTOCK_READER_MASK_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// One weight per detector pixel, C order.
struct Mask {
  std::string name;  // "disk:64,64,20", "aperture.npy", "stack.npy[2]"
  SignalShape shape;
  std::vector<double> weights;
};

// Distance from (row, column) at most `radius`.
Mask DiskMask(SignalShape shape, double row, double column, double radius);
// Inner radius < distance <= outer radius: what is in the outer disk and not in the inner one. An
// inner radius of 0 means no hole at all.
Mask AnnulusMask(SignalShape shape, double row, double column, double inner, double outer);
// The part of the annulus with first_angle <= angle < last_angle in degrees, modulo 360. Angle 0
// points along increasing columns, 90 along increasing rows (clockwise where row 0 is on top). A
// range of 360 or more is the whole annulus; the centre itself counts as angle 0.
Mask SegmentMask(SignalShape shape, double row, double column, double inner, double outer,
                 double first_angle, double last_angle);
// first_row <= row < last_row, first_column <= column < last_column.
Mask RectangleMask(SignalShape shape, double first_row, double first_column, double last_row,
                   double last_column);
// 1 everywhere.
Mask FullMask(SignalShape shape);

// "disk:ROW,COLUMN,RADIUS", "annulus:ROW,COLUMN,INNER,OUTER",
// "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1", "rectangle:ROW0,COLUMN0,ROW1,COLUMN1", "full", or
// the name of an .npy file: an array of the signal's shape, or of (n, rows, columns) for n masks.
// kInvalidArgument for text that is none of these and for a shape that selects no pixel,
// kUnsupported for an .npy of a wrong shape or type; the message names the text or file.
Result<std::vector<Mask>> ParseMasks(std::string_view text, SignalShape shape);
Result<std::vector<Mask>> LoadMasks(const std::filesystem::path& npy_file, SignalShape shape);

}  // namespace penstock

#endif  // PENSTOCK_READER_MASK_H_
