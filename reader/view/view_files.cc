// The text and the files that say what a view is.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <type_traits>

#include "penstock/base/npy.h"
#include "penstock/reader/frame_view.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumFileBytes = uint64_t{16} << 30;

Result<std::vector<double>> Reals(const NpyArray& array, const std::filesystem::path& file) {
  if (IsComplex(array.element_type)) {
    return Error::Unsupported("complex values are not supported here")
        .In(file.string())
        .Expected("integer, boolean or float values")
        .Found(std::string(ZarrDataType(array.element_type)));
  }
  std::vector<double> values;
  VisitElementType(array.element_type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_arithmetic_v<T>) {
      values.resize(array.bytes.size() / sizeof(T));
      for (size_t i = 0; i < values.size(); ++i) {
        T value{};
        std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
        values[i] = static_cast<double>(value);
      }
    }
  });
  return values;
}

Error WrongShape(const std::filesystem::path& file, std::string expected,
                 const std::vector<int64_t>& found) {
  return Error::Unsupported("the array does not fit the dataset")
      .In(file.string())
      .Expected("shape " + std::move(expected))
      .Found(fmt::format("({})", fmt::join(found, ", ")));
}

// "A:B", either of which may be missing or count from the end.
bool ParseBounds(std::string_view text, int64_t length, int64_t& first, int64_t& last) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const auto bound = [&](std::string_view word, int64_t otherwise, int64_t& value) {
    value = otherwise;
    if (word.empty()) return true;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size()) return false;
    if (value < 0) value = std::max<int64_t>(value + length, 0);
    return true;
  };
  return bound(text.substr(0, colon), 0, first) && bound(text.substr(colon + 1), length, last);
}

}  // namespace

Result<PixelWindow> ParseWindow(std::string_view text, SignalShape signal) {
  PixelWindow window;
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos ||
      !ParseBounds(text.substr(0, comma), signal.rows, window.first_row, window.last_row) ||
      !ParseBounds(text.substr(comma + 1), signal.columns, window.first_column,
                   window.last_column)) {
    return Error::InvalidArgument(fmt::format("'{}' is no window of pixels", text))
        .Expected("ROW0:ROW1,COLUMN0:COLUMN1 as in Python, for example 10:246,10:246");
  }
  return window;
}

Result<std::vector<double>> LoadPixelValues(const std::filesystem::path& npy_file,
                                            SignalShape signal) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(npy_file, kMaximumFileBytes));
  if (array.shape != std::vector<int64_t>{signal.rows, signal.columns}) {
    return WrongShape(npy_file, fmt::format("({}, {})", signal.rows, signal.columns), array.shape);
  }
  return Reals(array, npy_file);
}

Result<FrameShifts> LoadShifts(const std::filesystem::path& npy_file, ScanShape scan) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(npy_file, kMaximumFileBytes));
  const std::vector<int64_t> expected = scan.is_series
                                            ? std::vector<int64_t>{scan.columns, 2}
                                            : std::vector<int64_t>{scan.rows, scan.columns, 2};
  if (array.shape != expected) {
    return WrongShape(npy_file, fmt::format("({})", fmt::join(expected, ", ")), array.shape);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<double> values, Reals(array, npy_file));
  FrameShifts shifts;
  for (size_t i = 0; i < values.size(); i += 2) {
    shifts.rows.push_back(values[i]);
    shifts.columns.push_back(values[i + 1]);
  }
  return shifts;
}

}  // namespace penstock
