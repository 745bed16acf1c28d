#include "tests/ingest/ser_test_files.h"

#include <algorithm>

#include "penstock/ingest/registry.h"

namespace penstock::ingest {

namespace {

template <typename T>
void Append(Bytes& bytes, T value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(T));
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

void AppendText(Bytes& bytes, const std::string& text) {
  Append(bytes, static_cast<uint32_t>(text.size()));
  for (const char character : text) bytes.push_back(static_cast<std::byte>(character));
}

std::byte PixelByte(size_t element, size_t position) {
  return static_cast<std::byte>((element * 7 + position) % 251);
}

}  // namespace

size_t TestSeries::PixelBytes() const {
  constexpr size_t kBytes[] = {0, 1, 2, 4, 1, 2, 4, 4, 8, 8, 16};
  return type < std::size(kBytes) ? kBytes[type] : 2;
}

uint32_t TestSeries::Total() const {
  if (total) return *total;
  uint32_t product = 1;
  for (const TestDimension& dimension : dimensions) product *= dimension.size;
  return product;
}

size_t TestSeries::TableOffset() const {
  size_t offset = DimensionCountOffset() + 4;
  for (const TestDimension& dimension : dimensions) {
    offset += 32 + dimension.description.size() + dimension.units.size();
  }
  return offset;
}

size_t TestSeries::EntryOffset(size_t element) const {
  return TableOffset() + element * (version == 0x0210 ? 4 : 8);
}

size_t TestSeries::TagEntryOffset(size_t element) const { return EntryOffset(Total() + element); }

size_t TestSeries::ElementOffset(size_t element) const {
  const size_t tag = tags_behind_all ? 0 : tag_kind == 0x4142 ? 24 : 8;
  return EntryOffset(size_t{2} * Total()) + element * (50 + FrameBytes() + tag + gap_bytes);
}

size_t TestSeries::TagOffset(size_t element) const {
  if (!tags_behind_all) return ElementOffset(element) + 50 + FrameBytes();
  return ElementOffset(Valid()) + element * (tag_kind == 0x4142 ? 24 : 8);
}

Bytes TestSeries::Build() const {
  Bytes bytes;
  Append(bytes, uint16_t{0x4949});
  Append(bytes, uint16_t{0x0197});
  Append(bytes, version);
  Append(bytes, element_kind);
  Append(bytes, tag_kind);
  Append(bytes, Total());
  Append(bytes, Valid());
  const auto append_offset = [&](size_t offset) {
    if (version == 0x0210) {
      Append(bytes, static_cast<uint32_t>(offset));
    } else {
      Append(bytes, uint64_t{offset});
    }
  };
  append_offset(TableOffset());
  Append(bytes, static_cast<uint32_t>(dimensions.size()));
  for (const TestDimension& dimension : dimensions) {
    Append(bytes, dimension.size);
    Append(bytes, dimension.offset);
    Append(bytes, dimension.delta);
    Append(bytes, dimension.element);
    AppendText(bytes, dimension.description);
    AppendText(bytes, dimension.units);
  }
  const auto append_table = [&](auto offset_of) {
    for (uint32_t i = 0; i < Total(); ++i) {
      // As in real stopped series: entry V holds the old end of the file, the others 0.
      append_offset(i <= Valid() ? offset_of(i) : 0);
    }
  };
  append_table([this](size_t element) { return ElementOffset(element); });
  append_table([this](size_t element) { return TagOffset(element); });
  bytes.resize(std::max(ElementOffset(Valid()), TagOffset(Valid() - 1) + 24));
  for (uint32_t i = 0; i < Valid(); ++i) {
    Bytes element;
    for (const double start : {-3.0, 11.0}) {  // x, y
      Append(element, start * 1e7);
      Append(element, 1e7);
      Append(element, uint32_t{1});
    }
    Append(element, type);
    Append(element, width);
    Append(element, height);
    for (size_t position = 0; position < FrameBytes(); ++position) {
      element.push_back(PixelByte(i, position));
    }
    std::ranges::copy(element, bytes.begin() + static_cast<ptrdiff_t>(ElementOffset(i)));
    const uint32_t columns = dimensions.empty() ? 1 : dimensions[0].size;
    Bytes tag;
    Append(tag, static_cast<uint16_t>(tag_kind));
    Append(tag, uint16_t{0});
    Append(tag, 1456168703 + i);  // 2016-02-22T19:18:23Z
    if (tag_kind == 0x4142) {
      Append(tag, tag_fast_step * (i % columns));
      Append(tag, -tag_slow_step * (i / columns));
    }
    std::ranges::copy(tag, bytes.begin() + static_cast<ptrdiff_t>(TagOffset(i)));
  }
  return bytes;
}

Bytes TestSeries::Expected() const {
  Bytes frames;
  const size_t row_bytes = width * PixelBytes();
  for (uint32_t i = 0; i < Valid(); ++i) {
    for (size_t row = height; row-- > 0;) {
      for (size_t x = 0; x < row_bytes; ++x) frames.push_back(PixelByte(i, row * row_bytes + x));
    }
  }
  return frames;
}

Result<std::unique_ptr<FrameSource>> OpenSer(const std::filesystem::path& path) {
  return OpenSource(path, "", {});
}

Json FactValue(const SourceDescription& description, const std::string& path) {
  for (const MetadataFact& fact : description.facts) {
    if (fact.path == path) return fact.value;
  }
  return nullptr;
}

}  // namespace penstock::ingest
