#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include "penstock/reader/mask.h"

namespace penstock {

namespace {

constexpr char kForms[] =
    "masks are disk:ROW,COLUMN,RADIUS, annulus:ROW,COLUMN,INNER,OUTER, "
    "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1, rectangle:ROW0,COLUMN0,ROW1,COLUMN1, full, or "
    "an .npy file; lengths in pixels, angles in degrees";

Error Misspelt(std::string_view text, std::string what) {
  return Error::InvalidArgument(fmt::format("mask '{}': {}", text, what)).Advice(kForms);
}

// Finite numbers separated by commas, exactly `count` of them.
Result<std::vector<double>> ParseNumbers(std::string_view text, std::string_view numbers,
                                         size_t count) {
  std::vector<double> values;
  while (true) {
    const size_t comma = numbers.find(',');
    const std::string_view word = numbers.substr(0, comma);
    double value = 0;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size() || !std::isfinite(value)) {
      return Misspelt(text, fmt::format("'{}' is not a number", word));
    }
    values.push_back(value);
    if (comma == std::string_view::npos) break;
    numbers.remove_prefix(comma + 1);
  }
  if (values.size() != count) {
    return Misspelt(text, fmt::format("expected {} numbers, found {}", count, values.size()));
  }
  return values;
}

Result<Mask> ParseShape(std::string_view text, SignalShape shape) {
  if (text == "full") return FullMask(shape);
  const size_t colon = text.find(':');
  const std::string_view form = text.substr(0, colon);
  const std::string_view numbers =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  if (form == "disk") {
    PENSTOCK_ASSIGN_OR_RETURN(const auto v, ParseNumbers(text, numbers, 3));
    return DiskMask(shape, v[0], v[1], v[2]);
  }
  if (form == "annulus" || form == "segment") {
    const bool whole = form == "annulus";
    PENSTOCK_ASSIGN_OR_RETURN(const auto v, ParseNumbers(text, numbers, whole ? 4 : 6));
    if (v[2] < 0 || v[3] <= v[2]) {
      return Misspelt(text, "the outer radius must be above the inner one, and that not negative");
    }
    if (whole) return AnnulusMask(shape, v[0], v[1], v[2], v[3]);
    if (v[5] <= v[4]) return Misspelt(text, "the second angle must be above the first");
    return SegmentMask(shape, v[0], v[1], v[2], v[3], v[4], v[5]);
  }
  if (form == "rectangle") {
    PENSTOCK_ASSIGN_OR_RETURN(const auto v, ParseNumbers(text, numbers, 4));
    return RectangleMask(shape, v[0], v[1], v[2], v[3]);
  }
  return Misspelt(text, "is neither a known shape nor the name of an .npy file");
}

}  // namespace

Result<std::vector<Mask>> ParseMasks(std::string_view text, SignalShape shape) {
  if (text.ends_with(".npy")) return LoadMasks(std::filesystem::path(text), shape);
  PENSTOCK_ASSIGN_OR_RETURN(Mask mask, ParseShape(text, shape));
  mask.name = text;
  if (std::all_of(mask.weights.begin(), mask.weights.end(), [](double w) { return w == 0; })) {
    return Error::InvalidArgument(fmt::format("mask '{}' selects no pixel", text))
        .Expected(
            fmt::format("a shape within the frame of {} x {} pixels", shape.rows, shape.columns))
        .Advice("positions are (row, column) in pixels, counted from 0");
  }
  return std::vector<Mask>{std::move(mask)};
}

}  // namespace penstock
