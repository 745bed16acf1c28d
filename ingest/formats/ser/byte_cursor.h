// ByteCursor: reads little-endian values from bytes without ever passing their end.

#ifndef PENSTOCK_INGEST_FORMATS_SER_BYTE_CURSOR_H_
#define PENSTOCK_INGEST_FORMATS_SER_BYTE_CURSOR_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "ingest/formats/records/numbers.h"

namespace penstock::ingest::ser {

using records::LoadLittle;

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  template <typename T>
  std::optional<T> Read() {
    if (left() < sizeof(T)) return std::nullopt;
    const T value = LoadLittle<T>(bytes_, position_);
    position_ += sizeof(T);
    return value;
  }

  std::optional<std::string> ReadText(size_t length) {
    if (left() < length) return std::nullopt;
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return text;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_BYTE_CURSOR_H_
