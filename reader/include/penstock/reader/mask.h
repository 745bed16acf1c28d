// Masks over the detector: geometric shapes, arrays from .npy files, and their text form.
//
// Coordinates: (row, column) in pixels; the centre of pixel (r, c) has the coordinates (r, c), so
// the first pixel reaches from -0.5 to 0.5. A pixel belongs to a shape when its centre does; shapes
// are therefore binary (0 or 1), and sums of integer data over them are exact.
//
// Pure functions and plain values, thread-safe.

#ifndef PENSTOCK_READER_MASK_H_
#define PENSTOCK_READER_MASK_H_

#include <cstdint>
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
  std::vector<double> imaginary = {};  // of complex weights, one per pixel; empty: they are real

  bool is_complex() const { return !imaginary.empty(); }
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

// The annulus cut into `count` sectors of one angle, the first of which begins at first_angle: a
// segmented detector, four of them a quadrant detector. Every pixel of the annulus belongs to one.
std::vector<Mask> SectorMasks(SignalShape shape, double row, double column, double inner,
                              double outer, int64_t count, double first_angle = 0);
// Two ramps: row - `row` and column - `column` of every pixel, 0 beyond `radius` (infinite: none).
// The first moments of a frame, for differential phase contrast; exact sums of integer data where
// the centre lies on whole pixels.
std::vector<Mask> GradientMasks(SignalShape shape, double row, double column, double radius);
// exp(-i * order * angle) within the annulus, angles as for SegmentMask: one component of the
// Fourier series of a ring.
Mask HarmonicMask(SignalShape shape, double row, double column, double inner, double outer,
                  int64_t order);

// "disk:ROW,COLUMN,RADIUS", "annulus:ROW,COLUMN,INNER,OUTER",
// "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1", "rectangle:ROW0,COLUMN0,ROW1,COLUMN1", "full",
// "sectors:ROW,COLUMN,INNER,OUTER,COUNT[,ANGLE0]", "gradient:ROW,COLUMN[,RADIUS]" (two masks),
// "harmonic:ROW,COLUMN,INNER,OUTER,ORDER" (complex), the forms of sparse_mask.h, or the name of an
// .npy file: an array of the signal's shape, or of (n, rows, columns) for n masks, real or complex.
// kInvalidArgument for text that is none of these and for a shape that selects no pixel,
// kUnsupported for an .npy of a wrong shape or type; the message names the text or file.
Result<std::vector<Mask>> ParseMasks(std::string_view text, SignalShape shape);
Result<std::vector<Mask>> LoadMasks(const std::filesystem::path& npy_file, SignalShape shape);

}  // namespace penstock

#endif  // PENSTOCK_READER_MASK_H_
