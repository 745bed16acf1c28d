#include "penstock/reader/region.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <type_traits>

#include "penstock/base/element_type.h"
#include "penstock/base/npy.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumRegionFileBytes = uint64_t{16} << 30;

constexpr char kForms[] =
    "regions are ROWS,COLUMNS of the scan (of a series: FRAMES), each a number or FIRST:LAST:STEP "
    "as in Python, or an .npy file with a mask of the scan's shape or with rows and columns (n, 2)";

std::string ShapeText(const ScanShape& scan) {
  return scan.is_series ? fmt::format("{} frames", scan.columns)
                        : fmt::format("{} x {} frames", scan.rows, scan.columns);
}

Status CheckAny(const std::vector<uint8_t>& selection, const ScanShape& scan) {
  if (std::ranges::find(selection, 1) != selection.end()) return Status::Ok();
  return Error::InvalidArgument("the region has no frame")
      .Expected(fmt::format("a part of {}", ShapeText(scan)))
      .Advice(kForms);
}

// What is before the axis or beyond it is cut off.
AxisSlice OnAxis(AxisSlice slice, int64_t length) {
  const auto place = [length](int64_t bound) {
    return std::clamp(bound < 0 ? bound + length : bound, int64_t{0}, length);
  };
  return {place(slice.first), place(slice.last), slice.step};
}

Error Misspelt(std::string_view text) {
  return Error::InvalidArgument(fmt::format("'{}' is no region of a scan", text)).Advice(kForms);
}

Result<int64_t> ParseInteger(std::string_view text, std::string_view word) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (failure != std::errc{} || end != word.data() + word.size()) return Misspelt(text);
  return value;
}

Result<AxisSlice> ParseSlice(std::string_view text, std::string_view word, int64_t length) {
  if (word.find(':') == std::string_view::npos) {
    PENSTOCK_ASSIGN_OR_RETURN(const int64_t at, ParseInteger(text, word));
    if (at < -length || at >= length) {
      return Error::InvalidArgument(fmt::format("'{}' is outside of the scan", text))
          .Expected(fmt::format("{} to {}", -length, length - 1))
          .Found(fmt::format("{}", at));
    }
    const int64_t place = at < 0 ? at + length : at;
    return AxisSlice{place, place + 1, 1};
  }
  AxisSlice slice;
  const std::array<int64_t*, 3> bounds = {&slice.first, &slice.last, &slice.step};
  for (size_t part = 0;; ++part) {
    if (part == bounds.size()) return Misspelt(text);
    const size_t colon = word.find(':');
    if (const std::string_view bound = word.substr(0, colon); !bound.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(*bounds[part], ParseInteger(text, bound));
    }
    if (colon == std::string_view::npos) return slice;
    word.remove_prefix(colon + 1);
  }
}

std::vector<int64_t> IntegersOf(const NpyArray& array) {
  std::vector<int64_t> values;
  VisitElementType(array.element_type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T>) {
      values.resize(array.bytes.size() / sizeof(T));
      for (size_t i = 0; i < values.size(); ++i) {
        T value{};
        std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
        // Of a mask only zero or not zero counts: 0.5 is wanted as well.
        values[i] = std::is_integral_v<T> ? static_cast<int64_t>(value)
                                          : static_cast<int64_t>(value != T{0});
      }
    }
  });
  return values;
}

}  // namespace

Result<std::vector<uint8_t>> SliceRegion(ScanShape scan, const AxisSlice& rows,
                                         const AxisSlice& columns) {
  if (rows.step < 1 || columns.step < 1) {
    return Error::InvalidArgument("the step of a region must be at least 1")
        .Found(fmt::format("{}", std::min(rows.step, columns.step)));
  }
  const AxisSlice of_rows = OnAxis(rows, scan.rows);
  const AxisSlice of_columns = OnAxis(columns, scan.columns);
  std::vector<uint8_t> selection(static_cast<size_t>(scan.frame_count()));
  for (int64_t row = of_rows.first; row < of_rows.last; row += of_rows.step) {
    for (int64_t column = of_columns.first; column < of_columns.last; column += of_columns.step) {
      selection[static_cast<size_t>(row * scan.columns + column)] = 1;
    }
  }
  PENSTOCK_RETURN_IF_ERROR(CheckAny(selection, scan));
  return selection;
}

Result<std::vector<uint8_t>> PointRegion(ScanShape scan,
                                         std::span<const std::pair<int64_t, int64_t>> points) {
  std::vector<uint8_t> selection(static_cast<size_t>(scan.frame_count()));
  for (const auto& [row, column] : points) {
    if (row < 0 || row >= scan.rows || column < 0 || column >= scan.columns) {
      return Error::InvalidArgument("a point of the region is outside of the scan")
          .Expected(ShapeText(scan))
          .Found(fmt::format("row {}, column {}", row, column));
    }
    selection[static_cast<size_t>(row * scan.columns + column)] = 1;
  }
  PENSTOCK_RETURN_IF_ERROR(CheckAny(selection, scan));
  return selection;
}

Result<std::vector<uint8_t>> LoadRegion(const std::filesystem::path& npy_file, ScanShape scan) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(npy_file, kMaximumRegionFileBytes));
  const std::vector<int64_t> values = IntegersOf(array);
  const std::vector<int64_t> of_scan = scan.is_series
                                           ? std::vector<int64_t>{scan.columns}
                                           : std::vector<int64_t>{scan.rows, scan.columns};
  const bool numbers = IsInteger(array.element_type) && !array.is_boolean;
  Result<std::vector<uint8_t>> selection = std::vector<uint8_t>();
  if (array.shape == of_scan && !values.empty() && !(scan.is_series && numbers)) {
    std::vector<uint8_t> mask(values.size());
    std::ranges::transform(values, mask.begin(), [](int64_t value) { return value != 0; });
    PENSTOCK_RETURN_IF_ERROR(CheckAny(mask, scan));
    selection = std::move(mask);
  } else if (numbers && !scan.is_series && array.shape.size() == 2 && array.shape[1] == 2) {
    std::vector<std::pair<int64_t, int64_t>> points;
    for (size_t i = 0; i < values.size(); i += 2) points.emplace_back(values[i], values[i + 1]);
    selection = PointRegion(scan, points);
  } else if (numbers && scan.is_series && array.shape.size() == 1) {
    std::vector<std::pair<int64_t, int64_t>> points;
    for (const int64_t frame : values) points.emplace_back(0, frame);
    selection = PointRegion(scan, points);
  } else {
    return Error::Unsupported("the array is no region of this scan")
        .In(npy_file.string())
        .Expected(scan.is_series
                      ? fmt::format("booleans ({}) or integer frame numbers (n)", scan.columns)
                      : fmt::format("shape ({}, {}) or integers (n, 2)", scan.rows, scan.columns))
        .Found(fmt::format("({})", fmt::join(array.shape, ", ")));
  }
  if (!selection.ok()) return std::move(selection).error().In(npy_file.string());
  return selection;
}

Result<std::vector<uint8_t>> ParseRegion(std::string_view text, ScanShape scan) {
  if (text.ends_with(".npy")) return LoadRegion(std::filesystem::path(text), scan);
  const size_t comma = text.find(',');
  AxisSlice rows;
  std::string_view of_columns = text;
  if (!scan.is_series) {
    if (comma == std::string_view::npos) return Misspelt(text);
    PENSTOCK_ASSIGN_OR_RETURN(rows, ParseSlice(text, text.substr(0, comma), scan.rows));
    of_columns = text.substr(comma + 1);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const AxisSlice columns, ParseSlice(text, of_columns, scan.columns));
  return SliceRegion(scan, rows, columns);
}

}  // namespace penstock
