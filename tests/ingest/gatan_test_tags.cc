#include "tests/ingest/gatan_test_tags.h"

#include <algorithm>

namespace penstock::ingest {

namespace {

class Writer {
 public:
  explicit Writer(const TestTagFile& file) : file_(file) {}

  Bytes Build() {
    Big(file_.version, 4);
    Word(0);  // the size, filled in below
    Big(file_.little_endian ? 1 : 0, 4);
    Members(file_.root);
    Big(0, 8);  // real files end with eight zeros
    const uint64_t size = bytes_.size();
    for (size_t i = 0; i < WordBytes(); ++i) {
      bytes_[4 + WordBytes() - 1 - i] = static_cast<std::byte>(size >> (8 * i));
    }
    return std::move(bytes_);
  }

 private:
  size_t WordBytes() const { return file_.version == 4 ? 8 : 4; }

  void Big(uint64_t value, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * (count - 1 - i))));
    }
  }
  void Word(uint64_t value) { Big(value, WordBytes()); }

  void Members(const std::vector<TestTag>& tags) {
    Big(1, 1);
    Big(0, 1);
    Word(tags.size());
    for (const TestTag& tag : tags) Entry(tag);
  }

  void Entry(const TestTag& tag) {
    Big(tag.is_group ? 20 : 21, 1);
    Big(tag.name.size(), 2);
    for (const char c : tag.name) bytes_.push_back(static_cast<std::byte>(c));
    const size_t length_at = bytes_.size();
    if (file_.version == 4) Word(0);
    const size_t start = bytes_.size();
    if (tag.is_group) {
      Members(tag.children);
    } else {
      for (int i = 0; i < 4; ++i) bytes_.push_back(std::byte{'%'});
      Word(tag.descriptor.size());
      for (const uint64_t word : tag.descriptor) Word(word);
      Bytes value = tag.value;
      for (size_t at = 0; !file_.little_endian && at + tag.unit <= value.size(); at += tag.unit) {
        std::reverse(value.begin() + static_cast<ptrdiff_t>(at),
                     value.begin() + static_cast<ptrdiff_t>(at + tag.unit));
      }
      bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    const uint64_t length = bytes_.size() - start;
    for (size_t i = 0; file_.version == 4 && i < 8; ++i) {
      bytes_[length_at + 7 - i] = static_cast<std::byte>(length >> (8 * i));
    }
  }

  const TestTagFile& file_;
  Bytes bytes_;
};

}  // namespace

TestTag TestTag::Group(std::string name, std::vector<TestTag> children) {
  TestTag tag;
  tag.name = std::move(name);
  tag.is_group = true;
  tag.children = std::move(children);
  return tag;
}

TestTag TestTag::Text(std::string name, const std::string& ascii) {
  Bytes values;
  for (const char c : ascii) {
    values.push_back(static_cast<std::byte>(c));
    values.push_back(std::byte{0});
  }
  return Array(std::move(name), 4, 2, std::move(values));
}

TestTag TestTag::Array(std::string name, uint64_t type, size_t element_bytes, Bytes values) {
  TestTag tag;
  tag.name = std::move(name);
  tag.descriptor = {20, type, values.size() / element_bytes};
  tag.value = std::move(values);
  tag.unit = element_bytes;
  return tag;
}

Bytes TestTagFile::Build() const { return Writer(*this).Build(); }

}  // namespace penstock::ingest
