#include "ingest/formats/records/correction.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "ingest/formats/records/text.h"
#include "penstock/base/npy.h"

namespace penstock::ingest::records {

namespace {

constexpr uint64_t kMaxReferenceBytes = uint64_t{1} << 30;

template <typename Raw>
void CorrectValues(const float* dark, const double* gain, const Raw* raw, float* corrected,
                   size_t pixels) {
  if (gain == nullptr) {
    for (size_t i = 0; i < pixels; ++i) corrected[i] = static_cast<float>(raw[i]) - dark[i];
  } else if (dark == nullptr) {
    for (size_t i = 0; i < pixels; ++i) {
      corrected[i] = static_cast<float>(static_cast<double>(raw[i]) * gain[i]);
    }
  } else {
    for (size_t i = 0; i < pixels; ++i) {
      const double difference = static_cast<double>(raw[i]) - static_cast<double>(dark[i]);
      corrected[i] = static_cast<float>(difference * gain[i]);
    }
  }
}

// Places in files have any alignment, so a few pixels at a time are copied out and in.
template <typename Raw>
void CorrectAs(const Correction& correction, size_t first_pixel, std::span<const std::byte> raw,
               std::span<std::byte> corrected) {
  constexpr size_t kStep = 2048;
  Raw values[kStep];
  float results[kStep];
  const size_t pixels = raw.size() / sizeof(Raw);
  for (size_t at = 0; at < pixels; at += kStep) {
    const size_t count = std::min(kStep, pixels - at);
    std::memcpy(values, raw.data() + at * sizeof(Raw), count * sizeof(Raw));
    CorrectValues(correction.dark.empty() ? nullptr : correction.dark.data() + first_pixel + at,
                  correction.gain.empty() ? nullptr : correction.gain.data() + first_pixel + at,
                  values, results, count);
    std::memcpy(corrected.data() + at * sizeof(float), results, count * sizeof(float));
  }
}

Error WrongShape(const std::filesystem::path& path, const SignalShape& shape, std::string found) {
  return Error::InvalidArgument("the gain reference does not fit the frames")
      .In(path.string())
      .Expected(fmt::format("{} x {} values", shape.rows, shape.columns))
      .Found(std::move(found));
}

// Rows of the table are columns of the frame.
Result<std::vector<double>> ReadTransposedTable(const std::filesystem::path& path,
                                                const SignalShape& shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxReferenceBytes));
  std::vector<double> gain(static_cast<size_t>(shape.pixel_count()));
  int64_t column = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    std::string_view line = Trim(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.empty()) continue;
    int64_t row = 0;
    while (!line.empty()) {
      const size_t separator = line.find(';');
      const std::string_view cell = Trim(line.substr(0, separator));
      line = separator == std::string_view::npos ? std::string_view() : line.substr(separator + 1);
      if (cell.empty()) continue;
      const auto number = ParseNumber(cell);
      if (!number) {
        return Error::InvalidArgument("the gain reference holds something that is no number")
            .In(path.string())
            .At(fmt::format("line {}", column + 1))
            .Expected("numbers with a decimal point, separated by semicolons")
            .Found(ToUtf8(cell.substr(0, 40)));
      }
      if (column < shape.columns && row < shape.rows) {
        gain[static_cast<size_t>(row * shape.columns + column)] = *number;
      }
      ++row;
    }
    if (row != shape.rows) {
      return WrongShape(
          path, shape,
          fmt::format("{} values in line {} of the transposed table", row, column + 1));
    }
    ++column;
  }
  if (column != shape.columns) {
    return WrongShape(path, shape, fmt::format("{} lines in the transposed table", column));
  }
  return gain;
}

}  // namespace

void Correct(const Correction& correction, size_t first_pixel, ElementType type,
             std::span<const std::byte> raw, std::span<std::byte> corrected) {
  assert(!correction.empty());
  if (type == ElementType::kUint8) {
    CorrectAs<uint8_t>(correction, first_pixel, raw, corrected);
  } else if (type == ElementType::kUint16) {
    CorrectAs<uint16_t>(correction, first_pixel, raw, corrected);
  } else {
    assert(type == ElementType::kUint32);
    CorrectAs<uint32_t>(correction, first_pixel, raw, corrected);
  }
}

Status CheckGain(std::span<const double> gain, const SignalShape& shape,
                 const std::filesystem::path& path) {
  for (size_t i = 0; i < gain.size(); ++i) {
    if (std::isfinite(gain[i]) && gain[i] >= 0) continue;
    const auto columns = static_cast<size_t>(shape.columns);
    return Error::InvalidArgument("the gain reference holds a value that is no gain")
        .In(path.string())
        .At(fmt::format("row {}, column {}", i / columns, i % columns))
        .Expected("finite numbers, not negative")
        .Found(fmt::format("{}", gain[i]));
  }
  return Status::Ok();
}

Result<std::vector<double>> ReadGain(const std::filesystem::path& path, const SignalShape& shape) {
  const std::string extension = Lowercase(path.extension().string());
  std::vector<double> gain;
  if (extension == ".csv") {
    PENSTOCK_ASSIGN_OR_RETURN(gain, ReadTransposedTable(path, shape));
  } else if (extension == ".npy") {
    PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(path, kMaxReferenceBytes));
    if (array.shape != std::vector<int64_t>{shape.rows, shape.columns}) {
      return WrongShape(path, shape, fmt::format("an array of {} axes", array.shape.size()));
    }
    if (IsComplex(array.element_type)) return WrongShape(path, shape, "complex numbers");
    gain.resize(static_cast<size_t>(shape.pixel_count()));
    VisitElementType(array.element_type, [&](auto zero) {
      using Value = decltype(zero);
      if constexpr (std::is_arithmetic_v<Value>) {
        for (size_t i = 0; i < gain.size(); ++i) {
          gain[i] = static_cast<double>(LoadLittle<Value>(array.bytes, i * sizeof(Value)));
        }
      }
    });
  } else {
    return Error::Unsupported("a gain reference in a format that is not read")
        .In(path.string())
        .Expected(".npy, or .csv as PNDetector writes it")
        .Found(extension)
        .Advice("in Python: numpy.save('gain.npy', array of rows x columns)");
  }
  PENSTOCK_RETURN_IF_ERROR(CheckGain(gain, shape, path));
  return gain;
}

}  // namespace penstock::ingest::records
