// The HDF5 head of a block, as libhdf5 with libver bounds (v18, v18) lays it out: superblock
// version 2, a root group with one link message, a dataset with contiguous storage, no time
// stamps. HDF5 File Format Specification version 3.0, sections II.C and IV.A.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "penstock/dataset/block_layout.h"

namespace penstock {

namespace {

constexpr uint64_t kRootHeaderStart = 48;
constexpr size_t kRootMessageBytes = 120;
constexpr uint64_t kDatasetHeaderStart = 179;
constexpr size_t kDatasetMessageBytes = 256;

enum MessageType : uint8_t {
  kNil = 0,
  kDataspace = 1,
  kLinkInfo = 2,
  kDatatype = 3,
  kFillValue = 5,
  kLink = 6,
  kLayout = 8,
  kGroupInfo = 10,
};

class ByteWriter {
 public:
  void U8(uint64_t value) { Little(value, 1); }
  void U16(uint64_t value) { Little(value, 2); }
  void U32(uint64_t value) { Little(value, 4); }
  void U64(uint64_t value) { Little(value, 8); }
  void Text(std::string_view text) { bytes_.append(text); }
  void Zeros(size_t count) { bytes_.append(count, '\0'); }
  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }

 private:
  void Little(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i)));
  }
  std::string bytes_;
};

// Bob Jenkins' lookup3 "hashlittle" with initial value 0: the checksum of HDF5 metadata.
class Lookup3 {
 public:
  static uint32_t Of(std::string_view bytes) {
    Lookup3 hash(static_cast<uint32_t>(bytes.size()));
    for (; bytes.size() > kStep; bytes.remove_prefix(kStep)) {
      hash.Add(bytes);
      hash.Mix();
    }
    hash.Add(bytes);
    return hash.Final();
  }

 private:
  static constexpr size_t kStep = 12;

  explicit Lookup3(uint32_t size) : a_(0xdeadbeefU + size), b_(a_), c_(a_) {}

  void Add(std::string_view bytes) {
    std::array<uint32_t, 3> words{};
    std::memcpy(words.data(), bytes.data(), std::min(bytes.size(), kStep));
    a_ += words[0];
    b_ += words[1];
    c_ += words[2];
  }
  static void Turn(uint32_t& target, uint32_t& other, uint32_t third, int bits) {
    target = (target - other) ^ std::rotl(other, bits);
    other += third;
  }
  void Mix() {
    Turn(a_, c_, b_, 4);
    Turn(b_, a_, c_, 6);
    Turn(c_, b_, a_, 8);
    Turn(a_, c_, b_, 16);
    Turn(b_, a_, c_, 19);
    Turn(c_, b_, a_, 4);
  }
  static void Fold(uint32_t& target, uint32_t other, int bits) {
    target = (target ^ other) - std::rotl(other, bits);
  }
  uint32_t Final() {
    Fold(c_, b_, 14);
    Fold(a_, c_, 11);
    Fold(b_, a_, 25);
    Fold(c_, b_, 16);
    Fold(a_, c_, 4);
    Fold(b_, a_, 14);
    Fold(c_, b_, 24);
    return c_;
  }

  uint32_t a_;
  uint32_t b_;
  uint32_t c_;
};

void AppendIntegerType(ByteWriter& out, size_t size, bool is_signed) {
  out.U8(0x10);  // version 1, class 0 (fixed point)
  out.U8(is_signed ? 0x08 : 0x00);
  out.U16(0);
  out.U32(size);
  out.U16(0);         // bit offset
  out.U16(8 * size);  // precision
}

void AppendFloatType(ByteWriter& out, size_t size) {
  const bool is_double = size == 8;
  out.U8(0x11);                 // version 1, class 1 (floating point)
  out.U8(0x20);                 // little-endian, implied leading bit
  out.U8(is_double ? 63 : 31);  // sign bit
  out.U8(0);
  out.U32(size);
  out.U16(0);                   // bit offset
  out.U16(8 * size);            // precision
  out.U8(is_double ? 52 : 23);  // exponent: location, size
  out.U8(is_double ? 11 : 8);
  out.U8(0);  // mantissa: location, size
  out.U8(is_double ? 52 : 23);
  out.U32(is_double ? 1023 : 127);  // exponent bias
}

// The compound {r, i} that h5py reads as a complex number.
void AppendComplexType(ByteWriter& out, size_t size) {
  out.U8(0x36);  // version 3, class 6 (compound)
  out.U8(2);     // members
  out.U16(0);
  out.U32(size);
  for (const char member : {'r', 'i'}) {
    out.U8(static_cast<unsigned char>(member));
    out.U8(0);
    out.U8(member == 'r' ? 0 : size / 2);
    AppendFloatType(out, size / 2);
  }
}

std::string DatatypeMessage(ElementType type) {
  ByteWriter out;
  const size_t size = ElementSize(type);
  if (IsComplex(type)) {
    AppendComplexType(out, size);
  } else if (IsInteger(type)) {
    AppendIntegerType(out, size, IsSigned(type));
  } else {
    AppendFloatType(out, size);
  }
  return out.bytes();
}

std::string DataspaceMessage(const std::vector<uint64_t>& extents) {
  ByteWriter out;
  out.U8(2);  // version
  out.U8(extents.size());
  out.U8(1);  // maximum extents follow
  out.U8(1);  // simple
  for (int repetition = 0; repetition < 2; ++repetition) {
    for (const uint64_t extent : extents) out.U64(extent);
  }
  return out.bytes();
}

std::string LayoutMessage(uint64_t payload_bytes) {
  ByteWriter out;
  out.U8(3);  // version
  out.U8(1);  // contiguous
  out.U64(kPayloadStart);
  out.U64(payload_bytes);
  return out.bytes();
}

std::string LinkInfoMessage() {
  ByteWriter out;
  out.U16(0);             // version 0, no creation order
  out.U64(~uint64_t{0});  // no dense storage: neither heap
  out.U64(~uint64_t{0});  // nor index
  return out.bytes();
}

std::string LinkMessage(std::string_view name, uint64_t address) {
  ByteWriter out;
  out.U8(1);  // version
  out.U8(0);  // hard link, one byte for the length of the name
  out.U8(name.size());
  out.Text(name);
  out.U64(address);
  return out.bytes();
}

void AppendMessage(ByteWriter& out, MessageType type, bool constant, std::string_view body) {
  out.U8(type);
  out.U16(body.size());
  out.U8(constant ? 1 : 0);
  out.Text(body);
}

// Fills the messages up to `size` bytes with one NIL message, as libhdf5 does.
std::string PadMessages(ByteWriter messages, size_t size) {
  constexpr size_t kMessagePrefix = 4;
  AppendMessage(messages, kNil, false, std::string(size - messages.size() - kMessagePrefix, '\0'));
  return messages.bytes();
}

std::string RootMessages() {
  ByteWriter messages;
  AppendMessage(messages, kLinkInfo, false, LinkInfoMessage());
  AppendMessage(messages, kGroupInfo, true, std::string(2, '\0'));
  AppendMessage(messages, kLink, false, LinkMessage("real", kDatasetHeaderStart));
  return PadMessages(std::move(messages), kRootMessageBytes);
}

std::string DatasetMessages(const std::vector<uint64_t>& extents, ElementType type,
                            uint64_t payload_bytes) {
  ByteWriter messages;
  AppendMessage(messages, kDataspace, false, DataspaceMessage(extents));
  AppendMessage(messages, kDatatype, true, DatatypeMessage(type));
  // Version 3; space allocated early, fill value never written.
  AppendMessage(messages, kFillValue, true, std::string_view("\x03\x05", 2));
  AppendMessage(messages, kLayout, true, LayoutMessage(payload_bytes));
  return PadMessages(std::move(messages), kDatasetMessageBytes);
}

void AppendWithChecksum(ByteWriter& out, const ByteWriter& part) {
  out.Text(part.bytes());
  out.U32(Lookup3::Of(part.bytes()));
}

}  // namespace

std::string MakeBlockHead(const DatasetShape& shape, const BlockRegion& region) {
  std::vector<uint64_t> extents;
  if (!shape.scan.is_series) extents.push_back(static_cast<uint64_t>(region.row_count));
  extents.push_back(static_cast<uint64_t>(region.column_count));
  extents.push_back(static_cast<uint64_t>(shape.signal.rows));
  extents.push_back(static_cast<uint64_t>(shape.signal.columns));
  const uint64_t payload_bytes = static_cast<uint64_t>(region.frame_count()) * shape.frame_bytes();

  ByteWriter superblock;
  superblock.Text({"\x89HDF\r\n\x1a\n", 8});
  superblock.U8(2);  // version
  superblock.U8(8);  // bytes of an address
  superblock.U8(8);  // bytes of a length
  superblock.U8(0);
  superblock.U64(0);                              // base address
  superblock.U64(~uint64_t{0});                   // no extension
  superblock.U64(kPayloadStart + payload_bytes);  // end of file, as far as HDF5 is concerned
  superblock.U64(kRootHeaderStart);

  ByteWriter root;
  root.Text("OHDR");
  root.U8(2);  // version
  root.U8(0);  // one byte for the size of the messages, no times
  root.U8(kRootMessageBytes);
  root.Text(RootMessages());

  ByteWriter dataset;
  dataset.Text("OHDR");
  dataset.U8(2);  // version
  dataset.U8(1);  // two bytes for the size of the messages, no times
  dataset.U16(kDatasetMessageBytes);
  dataset.Text(DatasetMessages(extents, shape.element_type, payload_bytes));

  ByteWriter head;
  AppendWithChecksum(head, superblock);
  AppendWithChecksum(head, root);
  AppendWithChecksum(head, dataset);
  head.Zeros(kPayloadStart - head.size());
  return head.bytes();
}

}  // namespace penstock
