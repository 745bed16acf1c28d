// The index of a dataset's chunks, read from the file itself. The library of HDF5 1.10 finds the
// n-th chunk by walking over all before it, so that a table of all chunks takes quadratic time.
// Everything here is checked against sizes; whatever is not understood makes ReadChunkIndex false.

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "ingest/formats/hdf5/array.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr uint64_t kUndefined = UINT64_MAX;
constexpr uint64_t kMaxHeaderBytes = uint64_t{16} << 20;
constexpr int kMaxDepth = 32;

// Little-endian numbers out of a piece of the file. Reading beyond its end gives 0 and clears ok().
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t Number(size_t width) {
    if (width > 8 || at_ + width > bytes_.size()) {
      ok_ = false;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) {
      value = value << 8 | std::to_integer<uint64_t>(bytes_[at_ + i]);
    }
    at_ += width;
    return value;
  }
  uint64_t Address(size_t width) {
    const uint64_t value = Number(width);
    return width < 8 && value == (uint64_t{1} << (8 * width)) - 1 ? kUndefined : value;
  }
  bool Is(std::string_view text) {
    for (const char c : text) {
      if (Number(1) != static_cast<unsigned char>(c)) return false;
    }
    return ok_;
  }
  void Skip(uint64_t count) {
    if (count > bytes_.size() - at_) {
      ok_ = false;
      return;
    }
    at_ += count;
  }
  std::span<const std::byte> Take(uint64_t count) {
    if (count > bytes_.size() - at_) {
      ok_ = false;
      return {};
    }
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }
  size_t left() const { return bytes_.size() - at_; }
  bool ok() const { return ok_; }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

struct Layout {
  enum class Kind { kBtree1, kSingle, kImplicit, kFixedArray, kExtensibleArray };
  Kind kind = Kind::kBtree1;
  uint64_t address = kUndefined;
  uint64_t single_bytes = 0;
  uint32_t single_mask = 0;
  bool single_filtered = false;
  size_t dimensions = 0;  // with the one of the element
};

class IndexReader {
 public:
  IndexReader(const ChunkIndexRequest& request, std::vector<StoredChunk>& table)
      : request_(request), table_(table), rank_(request.grid.size()) {}

  bool Read() {
    uint64_t count = 1;
    for (const uint64_t n : request_.grid) count *= n;
    table_.assign(count, {});
    Layout layout;
    if (!FindLayout(layout)) return false;
    if (layout.address == kUndefined) return true;  // nothing was ever written
    switch (layout.kind) {
      case Layout::Kind::kBtree1:
        return layout.dimensions == rank_ + 1 && ReadBtreeNode(layout.address, -1, kMaxDepth);
      case Layout::Kind::kSingle:
        return count == 1 &&
               Set(0, layout.address,
                   layout.single_filtered ? layout.single_bytes : request_.chunk_bytes,
                   layout.single_mask);
      case Layout::Kind::kImplicit:
        for (uint64_t i = 0; i < count; ++i) {
          if (!Set(i, layout.address + LinearIndex(i, rank_) * request_.chunk_bytes,
                   request_.chunk_bytes, 0)) {
            return false;
          }
        }
        return true;
      case Layout::Kind::kFixedArray:
        return ReadFixedArray(layout.address);
      case Layout::Kind::kExtensibleArray:
        return ReadExtensibleArray(layout.address);
    }
    return false;
  }

 private:
  bool Load(uint64_t address, uint64_t bytes, std::vector<std::byte>& to) const {
    const uint64_t at = request_.base + address;
    if (address == kUndefined || at < address || at > request_.file_bytes ||
        bytes > request_.file_bytes - at) {
      return false;
    }
    to.resize(bytes);
    return ReadFully(request_.fd, at, to, request_.path).ok();
  }
  // Up to `bytes`, fewer at the end of the file.
  bool LoadSome(uint64_t address, uint64_t bytes, std::vector<std::byte>& to) const {
    const uint64_t at = request_.base + address;
    if (address == kUndefined || at < address || at >= request_.file_bytes) return false;
    return Load(address, std::min(bytes, request_.file_bytes - at), to);
  }

  bool Set(uint64_t index, uint64_t address, uint64_t bytes, uint32_t mask) {
    if (address == kUndefined) return true;
    const uint64_t at = request_.base + address;
    if (index >= table_.size() || at < address || at > request_.file_bytes || bytes == 0 ||
        bytes > UINT32_MAX || bytes > request_.file_bytes - at) {
      return false;
    }
    table_[index] = {at, static_cast<uint32_t>(bytes), mask};
    return true;
  }

  bool FindLayout(Layout& layout) {
    std::vector<std::byte> head;
    if (!LoadSome(request_.object_header, 64, head) || head.size() < 16) return false;
    Cursor cursor(head);
    if (std::memcmp(head.data(), "OHDR", 4) == 0) return FindInVersion2(head, layout);
    if (cursor.Number(1) != 1) return false;
    cursor.Skip(1 + 2 + 4);
    const uint64_t bytes = cursor.Number(4);
    std::vector<std::byte> block;
    if (bytes > kMaxHeaderBytes || !Load(request_.object_header + 16, bytes, block)) return false;
    return SearchMessages(block, false, false, kMaxDepth, layout);
  }

  bool FindInVersion2(std::span<const std::byte> head, Layout& layout) {
    Cursor cursor(head);
    cursor.Skip(4);
    if (cursor.Number(1) != 2) return false;
    const uint64_t flags = cursor.Number(1);
    size_t at = 6;
    if ((flags & 0x20) != 0) at += 16;
    if ((flags & 0x10) != 0) at += 4;
    Cursor size(head.subspan(std::min(at, head.size())));
    const size_t width = size_t{1} << (flags & 3);
    const uint64_t bytes = size.Number(width);
    std::vector<std::byte> block;
    if (!size.ok() || bytes > kMaxHeaderBytes ||
        !Load(request_.object_header + at + width, bytes, block)) {
      return false;
    }
    return SearchMessages(block, true, (flags & 4) != 0, kMaxDepth, layout);
  }

  bool SearchMessages(std::span<const std::byte> block, bool version2, bool with_order, int depth,
                      Layout& layout) {
    if (depth == 0) return false;
    Cursor cursor(block);
    const size_t head = version2 ? (with_order ? 6 : 4) : 8;
    while (cursor.left() >= head) {
      const uint64_t type = cursor.Number(version2 ? 1 : 2);
      const uint64_t size = cursor.Number(2);
      const uint64_t flags = cursor.Number(1);
      cursor.Skip(head - (version2 ? 4 : 5));
      const auto data = cursor.Take(size);
      if (!cursor.ok()) return false;
      if (type == 8) return (flags & 2) == 0 && ParseLayout(data, layout);
      if (type != 16) continue;
      Cursor where(data);
      const uint64_t address = where.Address(request_.address_bytes);
      uint64_t bytes = where.Number(request_.length_bytes);
      std::vector<std::byte> next;
      if (!where.ok() || bytes > kMaxHeaderBytes || !Load(address, bytes, next)) return false;
      std::span<const std::byte> messages = next;
      if (version2) {
        if (bytes < 8 || std::memcmp(next.data(), "OCHK", 4) != 0) return false;
        messages = messages.subspan(4, bytes - 8);
      }
      if (SearchMessages(messages, version2, with_order, depth - 1, layout)) return true;
    }
    return false;
  }

  bool ParseLayout(std::span<const std::byte> data, Layout& layout) {
    Cursor cursor(data);
    const uint64_t version = cursor.Number(1);
    if (version == 3) {
      if (cursor.Number(1) != 2) return false;
      layout.dimensions = cursor.Number(1);
      layout.address = cursor.Address(request_.address_bytes);
      return cursor.ok();
    }
    if (version != 4 || cursor.Number(1) != 2) return false;
    const uint64_t flags = cursor.Number(1);
    layout.dimensions = cursor.Number(1);
    const uint64_t width = cursor.Number(1);
    cursor.Skip(width * layout.dimensions);
    switch (cursor.Number(1)) {
      case 1:
        layout.kind = Layout::Kind::kSingle;
        layout.single_filtered = (flags & 2) != 0;
        if (layout.single_filtered) {
          layout.single_bytes = cursor.Number(request_.length_bytes);
          layout.single_mask = static_cast<uint32_t>(cursor.Number(4));
        }
        break;
      case 2:
        layout.kind = Layout::Kind::kImplicit;
        break;
      case 3:
        layout.kind = Layout::Kind::kFixedArray;
        cursor.Skip(1);
        break;
      case 4:
        layout.kind = Layout::Kind::kExtensibleArray;
        cursor.Skip(5);
        break;
      default:
        return false;
    }
    layout.address = cursor.Address(request_.address_bytes);
    // Chunks at the edge may be left unfiltered, which no mask says.
    return cursor.ok() && (flags & 1) == 0;
  }

  // `above`: the level of the node above, -1 at the root.
  bool ReadBtreeNode(uint64_t address, int above, int depth) {
    if (depth == 0 || !visited_.insert(address).second) return false;
    const size_t key_bytes = 8 + 8 * (rank_ + 1);
    std::vector<std::byte> head;
    const size_t head_bytes = 8 + 2 * request_.address_bytes;
    if (!Load(address, head_bytes, head)) return false;
    Cursor cursor(head);
    if (!cursor.Is("TREE") || cursor.Number(1) != 1) return false;
    const auto level = static_cast<int>(cursor.Number(1));
    const uint64_t entries = cursor.Number(2);
    if (above >= 0 && level != above - 1) return false;
    std::vector<std::byte> body;
    if (!Load(address + head_bytes, entries * (key_bytes + request_.address_bytes), body)) {
      return false;
    }
    Cursor records(body);
    for (uint64_t i = 0; i < entries; ++i) {
      const uint64_t bytes = records.Number(4);
      const auto mask = static_cast<uint32_t>(records.Number(4));
      uint64_t index = 0;
      bool inside = true;
      for (size_t axis = 0; axis < rank_; ++axis) {
        const uint64_t origin = records.Number(8);
        const uint64_t at = origin / request_.chunk[axis];
        if (origin % request_.chunk[axis] != 0) return false;
        inside = inside && at < request_.grid[axis];
        index = index * request_.grid[axis] + at;
      }
      records.Skip(8);
      const uint64_t child = records.Address(request_.address_bytes);
      if (!records.ok()) return false;
      if (level > 0) {
        if (!ReadBtreeNode(child, level, depth - 1)) return false;
      } else if (inside && !Set(index, child, bytes, mask)) {
        return false;
      }
    }
    return true;
  }

  // The number of a chunk in an array index: C order over the grid of the largest shape, with the
  // axis `first_axis` moved to the front (rank: none).
  uint64_t LinearIndex(uint64_t index, size_t first_axis) const {
    std::vector<uint64_t> at(rank_);
    for (size_t axis = rank_; axis-- > 0;) {
      at[axis] = index % request_.grid[axis];
      index /= request_.grid[axis];
    }
    const auto most = [&](size_t axis) {
      const uint64_t size = request_.max_shape[axis];
      return (size + request_.chunk[axis] - 1) / request_.chunk[axis];
    };
    uint64_t linear = first_axis < rank_ ? at[first_axis] : 0;
    for (size_t axis = 0; axis < rank_; ++axis) {
      if (axis == first_axis) continue;
      linear = linear * most(axis) + at[axis];
    }
    return linear;
  }

  // Elements of array indices: an address, and for filtered chunks size and mask.
  struct Element {
    uint64_t address = kUndefined;
    uint64_t bytes = 0;
    uint32_t mask = 0;
  };
  Element ReadElement(Cursor& cursor, uint64_t element_bytes, bool filtered) const {
    Element element;
    element.address = cursor.Address(request_.address_bytes);
    element.bytes = request_.chunk_bytes;
    if (filtered) {
      element.bytes = cursor.Number(element_bytes - request_.address_bytes - 4);
      element.mask = static_cast<uint32_t>(cursor.Number(4));
    }
    return element;
  }
  bool GoodElementSize(uint64_t element_bytes, bool filtered) const {
    return filtered ? element_bytes > request_.address_bytes + 4 &&
                          element_bytes <= request_.address_bytes + 12
                    : element_bytes == request_.address_bytes;
  }
  // Spreads the elements over the table by the linear index of each chunk.
  bool Spread(const std::vector<Element>& elements, size_t first_axis) {
    for (uint64_t i = 0; i < table_.size(); ++i) {
      const uint64_t at = LinearIndex(i, first_axis);
      if (at >= elements.size()) continue;
      if (!Set(i, elements[at].address, elements[at].bytes, elements[at].mask)) return false;
    }
    return true;
  }
  // No element takes less than its bytes in the file.
  bool Plausible(uint64_t count, uint64_t element_bytes) const {
    return element_bytes != 0 && count <= request_.file_bytes / element_bytes;
  }

  bool ReadFixedArray(uint64_t address) {
    const size_t width = request_.address_bytes;
    std::vector<std::byte> block;
    if (!Load(address, 8 + request_.length_bytes + width, block)) return false;
    Cursor head(block);
    if (!head.Is("FAHD") || head.Number(1) != 0) return false;
    const bool filtered = head.Number(1) == 1;
    const uint64_t element_bytes = head.Number(1);
    const uint64_t page_bits = head.Number(1);
    const uint64_t count = head.Number(request_.length_bytes);
    const uint64_t data = head.Address(width);
    if (!head.ok() || filtered != request_.filtered || page_bits > 30 ||
        !GoodElementSize(element_bytes, filtered) || !Plausible(count, element_bytes)) {
      return false;
    }
    if (data == kUndefined) return true;
    const uint64_t page = uint64_t{1} << page_bits;
    const uint64_t pages = count > page ? (count + page - 1) / page : 0;
    const uint64_t bitmap_bytes = (pages + 7) / 8;
    const uint64_t bytes =
        6 + width + (pages > 0 ? bitmap_bytes + 4 + pages * 4 : 4) + count * element_bytes;
    if (!Load(data, bytes, block)) return false;
    Cursor cursor(block);
    if (!cursor.Is("FADB") || cursor.Number(1) != 0) return false;
    cursor.Skip(1 + width);
    std::vector<Element> elements(count);
    if (pages == 0) {
      for (Element& element : elements) element = ReadElement(cursor, element_bytes, filtered);
      return cursor.ok() && Spread(elements, rank_);
    }
    const auto bitmap = cursor.Take(bitmap_bytes);
    cursor.Skip(4);
    for (uint64_t p = 0; p < pages && cursor.ok(); ++p) {
      // Bits count from the highest of each byte. Pages that were never written hold anything.
      const bool written = (std::to_integer<unsigned>(bitmap[p / 8]) >> (7 - p % 8) & 1) != 0;
      const uint64_t end = std::min(count, (p + 1) * page);
      for (uint64_t i = p * page; i < end; ++i) {
        const Element element = ReadElement(cursor, element_bytes, filtered);
        if (written) elements[i] = element;
      }
      cursor.Skip(4);
    }
    return cursor.ok() && Spread(elements, rank_);
  }

  struct ExtensibleArray {
    uint64_t address = 0;
    bool filtered = false;
    uint64_t element_bytes = 0;
    uint64_t max_bits = 0;
    uint64_t index_elements = 0;
    uint64_t min_elements = 0;
    uint64_t min_pointers = 0;
    uint64_t page_bits = 0;
    uint64_t realized = 0;
    uint64_t offset_bytes() const { return (max_bits + 7) / 8; }
    // Of super block k.
    uint64_t blocks(uint64_t k) const { return uint64_t{1} << (k / 2); }
    uint64_t block_elements(uint64_t k) const { return min_elements << ((k + 1) / 2); }
  };

  bool ReadExtensibleArray(uint64_t address) {
    size_t unlimited = rank_;
    for (size_t axis = 0; axis < rank_; ++axis) {
      if (request_.max_shape[axis] != UINT64_MAX) continue;
      if (unlimited != rank_) return false;
      unlimited = axis;
    }
    if (unlimited == rank_) return false;
    const size_t width = request_.address_bytes;
    std::vector<std::byte> block;
    if (!Load(address, 12 + 6 * request_.length_bytes + width, block)) return false;
    Cursor head(block);
    if (!head.Is("EAHD") || head.Number(1) != 0) return false;
    ExtensibleArray array;
    array.address = address;
    array.filtered = head.Number(1) == 1;
    array.element_bytes = head.Number(1);
    array.max_bits = head.Number(1);
    array.index_elements = head.Number(1);
    array.min_elements = head.Number(1);
    array.min_pointers = head.Number(1);
    array.page_bits = head.Number(1);
    head.Skip(4 * request_.length_bytes);
    const uint64_t most = head.Number(request_.length_bytes);
    array.realized = head.Number(request_.length_bytes);
    const uint64_t index_block = head.Address(width);
    if (!head.ok() || array.filtered != request_.filtered ||
        !GoodElementSize(array.element_bytes, array.filtered) || array.max_bits > 62 ||
        array.page_bits > 30 || !std::has_single_bit(array.min_elements) ||
        !std::has_single_bit(array.min_pointers) || array.min_pointers < 2 ||
        !Plausible(most, array.element_bytes)) {
      return false;
    }
    if (index_block == kUndefined) return true;
    const auto min_bits = static_cast<uint64_t>(std::countr_zero(array.min_elements));
    if (min_bits > array.max_bits) return false;
    const uint64_t super_blocks = 1 + (array.max_bits - min_bits);
    const auto direct_supers =
        std::min(super_blocks, 2 * static_cast<uint64_t>(std::countr_zero(array.min_pointers)));
    const uint64_t direct_blocks = 2 * (array.min_pointers - 1);
    const uint64_t super_addresses = super_blocks - direct_supers;
    if (!Load(index_block,
              6 + width + array.index_elements * array.element_bytes +
                  (direct_blocks + super_addresses) * width,
              block)) {
      return false;
    }
    Cursor cursor(block);
    if (!cursor.Is("EAIB") || cursor.Number(1) != 0) return false;
    cursor.Skip(1 + width);
    std::vector<Element> elements;
    for (uint64_t i = 0; i < array.index_elements; ++i) {
      elements.push_back(ReadElement(cursor, array.element_bytes, array.filtered));
    }
    for (uint64_t k = 0; k < direct_supers && elements.size() < most; ++k) {
      for (uint64_t b = 0; b < array.blocks(k); ++b) {
        const uint64_t at = cursor.Address(width);
        if (!cursor.ok() || !AppendDataBlock(array, at, array.block_elements(k), {}, 0, elements)) {
          return false;
        }
      }
    }
    // The addresses of the direct blocks are all there, whether they were needed or not.
    Cursor supers(block);
    supers.Skip(6 + width + array.index_elements * array.element_bytes + direct_blocks * width);
    for (uint64_t k = direct_supers; k < super_blocks && elements.size() < most; ++k) {
      const uint64_t at = supers.Address(width);
      if (!supers.ok() || !AppendSuperBlock(array, at, k, elements)) return false;
    }
    return Spread(elements, unlimited);
  }

  // False, too, where the file cannot back the elements.
  bool AppendNothing(uint64_t count, std::vector<Element>& elements) const {
    if (elements.size() + count > table_.size() * 4 + (uint64_t{1} << 22)) return false;
    elements.resize(elements.size() + count);
    return true;
  }

  bool AppendSuperBlock(const ExtensibleArray& array, uint64_t address, uint64_t k,
                        std::vector<Element>& elements) {
    const uint64_t blocks = array.blocks(k);
    const uint64_t count = array.block_elements(k);
    if (address == kUndefined) return AppendNothing(blocks * count, elements);
    const size_t width = request_.address_bytes;
    const uint64_t page = uint64_t{1} << array.page_bits;
    const uint64_t pages = count > page ? count / page : 0;
    const uint64_t bitmap_bytes = (pages + 7) / 8;
    std::vector<std::byte> block;
    if (!Plausible(blocks, width) ||
        !Load(address, 6 + width + array.offset_bytes() + blocks * (bitmap_bytes + width), block)) {
      return false;
    }
    Cursor cursor(block);
    if (!cursor.Is("EASB") || cursor.Number(1) != 0) return false;
    cursor.Skip(1 + width + array.offset_bytes());
    const auto bitmaps = cursor.Take(blocks * bitmap_bytes);
    for (uint64_t b = 0; b < blocks; ++b) {
      const uint64_t at = cursor.Address(width);
      if (!cursor.ok() ||
          !AppendDataBlock(array, at, count, bitmaps.subspan(b * bitmap_bytes, bitmap_bytes), pages,
                           elements)) {
        return false;
      }
    }
    return true;
  }

  bool AppendDataBlock(const ExtensibleArray& array, uint64_t address, uint64_t count,
                       std::span<const std::byte> bitmap, uint64_t pages,
                       std::vector<Element>& elements) {
    if (address == kUndefined) return AppendNothing(count, elements);
    if (!visited_.insert(address).second || !Plausible(count, array.element_bytes)) return false;
    const size_t width = request_.address_bytes;
    const uint64_t head_bytes = 6 + width + array.offset_bytes();
    std::vector<std::byte> block;
    if (!Load(address, head_bytes + (pages > 0 ? 4 + 4 * pages : 0) + count * array.element_bytes,
              block)) {
      return false;
    }
    Cursor cursor(block);
    if (!cursor.Is("EADB") || cursor.Number(1) != 0) return false;
    cursor.Skip(head_bytes - 5);
    if (pages == 0) {
      for (uint64_t i = 0; i < count; ++i) {
        elements.push_back(ReadElement(cursor, array.element_bytes, array.filtered));
      }
      return cursor.ok();
    }
    cursor.Skip(4);
    for (uint64_t p = 0; p < pages; ++p) {
      const bool written = (std::to_integer<unsigned>(bitmap[p / 8]) >> (7 - p % 8) & 1) != 0;
      for (uint64_t i = 0; i < count / pages; ++i) {
        const Element element = ReadElement(cursor, array.element_bytes, array.filtered);
        elements.push_back(written ? element : Element{});
      }
      cursor.Skip(4);
    }
    return cursor.ok();
  }

  const ChunkIndexRequest& request_;
  std::vector<StoredChunk>& table_;
  const size_t rank_;
  std::set<uint64_t> visited_;
};

}  // namespace

bool ReadChunkIndex(const ChunkIndexRequest& request, std::vector<StoredChunk>& table) {
  if (request.address_bytes > 8 || request.length_bytes > 8) return false;
  return IndexReader(request, table).Read();
}

}  // namespace penstock::ingest::hdf5
