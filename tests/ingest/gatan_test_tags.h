// Gatan tag files made for tests, written from the description of the grammar.

#ifndef PENSTOCK_TESTS_INGEST_GATAN_TEST_TAGS_H_
#define PENSTOCK_TESTS_INGEST_GATAN_TEST_TAGS_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {

// A tag with its value in little-endian bytes; they are turned when a big-endian file is written.
struct TestTag {
  std::string name;
  bool is_group = false;
  std::vector<TestTag> children;
  std::vector<uint64_t> descriptor;  // type words
  Bytes value;
  size_t unit = 1;  // bytes that are turned together

  static TestTag Group(std::string name, std::vector<TestTag> children);
  static TestTag Text(std::string name, const std::string& ascii);  // array of uint16
  // An array of numbers of the file's type `type`.
  static TestTag Array(std::string name, uint64_t type, size_t element_bytes, Bytes values);

  template <typename T>
  static TestTag Number(std::string name, T number) {
    TestTag tag;
    tag.name = std::move(name);
    tag.descriptor = {TypeOf<T>()};
    tag.value.resize(sizeof(T));
    std::memcpy(tag.value.data(), &number, sizeof(T));
    tag.unit = sizeof(T);
    return tag;
  }

  template <typename T>
  static uint64_t TypeOf() {
    if (std::is_same_v<T, bool>) return 8;
    if (std::is_same_v<T, float>) return 6;
    if (std::is_same_v<T, double>) return 7;
    if (std::is_signed_v<T>)
      return sizeof(T) == 1 ? 9 : sizeof(T) == 2 ? 2 : sizeof(T) == 4 ? 3 : 11;
    return sizeof(T) == 1 ? 10 : sizeof(T) == 2 ? 4 : sizeof(T) == 4 ? 5 : 12;
  }
};

struct TestTagFile {
  uint32_t version = 4;
  bool little_endian = true;
  std::vector<TestTag> root;

  Bytes Build() const;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_GATAN_TEST_TAGS_H_
