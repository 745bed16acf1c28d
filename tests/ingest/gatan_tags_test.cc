// The grammar of Gatan's tag files: every kind of value in both versions and byte orders, and files
// that are cut, nested too deep or that lie about their sizes.

#include <fcntl.h>
#include <gtest/gtest.h>

#include "ingest/formats/gatan_tags/tag_text.h"
#include "ingest/formats/gatan_tags/tag_tree.h"
#include "penstock/base/file.h"
#include "tests/ingest/gatan_test_tags.h"

namespace penstock::ingest::gatan {
namespace {

Result<TagTree> Parse(const TestDirectory& directory, const Bytes& bytes) {
  const std::filesystem::path path = directory.Write("tags", bytes);
  auto fd = OpenFile(path, O_RDONLY);
  if (!fd.ok()) return std::move(fd).error();
  return ReadTagTree(fd->get(), bytes.size(), path);
}

TestTagFile Sample() {
  TestTag point;
  point.name = "Point";
  point.descriptor = {15, 0, 2, 0, 6, 0, 3};  // float32, int32
  const float x = 2.5F;
  const int32_t y = -7;
  point.value.resize(8);
  std::memcpy(point.value.data(), &x, 4);
  std::memcpy(point.value.data() + 4, &y, 4);
  point.unit = 4;
  TestTag pairs;
  pairs.name = "Pairs";
  pairs.descriptor = {20, 15, 0, 2, 0, 4, 0, 4, 3};  // 3 x (uint16, uint16)
  pairs.value.resize(12);
  pairs.unit = 2;
  TestTag label;
  label.name = "Label";
  label.descriptor = {18, 6};
  label.value = {std::byte{'A'}, {}, std::byte{0xB5}, {}, std::byte{'Z'}, {}};
  label.unit = 2;
  return {
      .root = {
          TestTag::Group(
              "Numbers",
              {TestTag::Number<int16_t>("i16", -300), TestTag::Number<uint16_t>("u16", 65535),
               TestTag::Number<int32_t>("i32", -70000),
               TestTag::Number<uint32_t>("u32", 4000000000U),
               TestTag::Number<int64_t>("i64", -5000000000),
               TestTag::Number<uint64_t>("u64", uint64_t{1} << 63),
               TestTag::Number<float>("f32", 0.5F), TestTag::Number<double>("f64", 1.0 / 3),
               TestTag::Number<bool>("bool", true), TestTag::Number<int8_t>("i8", -3),
               TestTag::Number<uint8_t>("u8", 200)}),
          TestTag::Group("", {TestTag::Number<int32_t>("", 1), TestTag::Number<int32_t>("", 2)}),
          TestTag::Text("Text", "nm"),
          point,
          pairs,
          label,
          TestTag::Array("Short", 3, 4, Bytes(12)),
          TestTag::Array("Long", 3, 4, Bytes(4000)),
          TestTag::Number<int32_t>("behind", 42),
      }};
}

class GatanTags : public testing::TestWithParam<std::pair<uint32_t, bool>> {};

TEST_P(GatanTags, EveryKindOfValue) {
  TestTagFile file = Sample();
  std::tie(file.version, file.little_endian) = GetParam();
  const TestDirectory directory;
  const Bytes bytes = file.Build();
  EXPECT_TRUE(LooksLikeTagFile(bytes));
  const auto tree = Parse(directory, bytes);
  ASSERT_TRUE(tree.ok()) << tree.error().ToString();
  EXPECT_EQ(tree->version, file.version);
  EXPECT_EQ(tree->little_endian, file.little_endian);
  const TagNode& root = tree->root;
  const auto number = [&](const char* name) { return root.Find({"Numbers", name})->Number(); };
  EXPECT_EQ(number("i16"), -300);
  EXPECT_EQ(number("u16"), 65535);
  EXPECT_EQ(number("i32"), -70000);
  EXPECT_EQ(number("u32"), 4e9);
  EXPECT_EQ(number("i64"), -5e9);
  EXPECT_EQ(number("u64"), 9223372036854775808.0);
  EXPECT_EQ(root.Find({"Numbers", "u64"})->Integer(), std::nullopt);
  EXPECT_EQ(number("f32"), 0.5);
  EXPECT_EQ(number("f64"), 1.0 / 3);
  EXPECT_EQ(number("bool"), 1);
  EXPECT_EQ(number("i8"), -3);
  EXPECT_EQ(number("u8"), 200);
  EXPECT_EQ(root.Find({"#1", "#1"})->Integer(), 2);
  EXPECT_EQ(root.Find({"#1", "#2"}), nullptr);
  EXPECT_EQ(root.Child("Text")->text, "nm");
  EXPECT_EQ(root.Child("Label")->text, "A\u00B5Z");
  const TagNode* point = root.Child("Point");
  ASSERT_EQ(point->numbers.size(), 2U);
  EXPECT_EQ(std::get<double>(point->numbers[0]), 2.5);
  EXPECT_EQ(std::get<int64_t>(point->numbers[1]), -7);
  EXPECT_EQ(root.Child("Pairs")->kind, TagKind::kArray);
  EXPECT_EQ(root.Child("Pairs")->count, 3U);
  EXPECT_EQ(root.Child("Pairs")->element_bytes, 4U);
  EXPECT_EQ(root.Child("Short")->numbers.size(), 3U);
  EXPECT_EQ(root.Child("Long")->kind, TagKind::kArray);
  EXPECT_EQ(root.Child("Long")->count, 1000U);
  EXPECT_EQ(root.Child("behind")->Integer(), 42);

  const std::string text = TagTreeText(root, 100000);
  EXPECT_NE(text.find("Numbers/i16 = -300\n"), std::string::npos) << text;
  EXPECT_NE(text.find("#1/#0 = 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Point = [2.5, -7]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Long = [1000 x int32 at offset "), std::string::npos) << text;
  EXPECT_NE(TagTreeText(root, 60).find("more tags are left out"), std::string::npos);
}

TEST_P(GatanTags, CutAnywhereIsAnErrorWithAPlace) {
  TestTagFile file = Sample();
  std::tie(file.version, file.little_endian) = GetParam();
  const TestDirectory directory;
  const Bytes bytes = file.Build();
  for (size_t length = 0; length + 8 < bytes.size(); length += length < 1200 ? 1 : 97) {
    const auto tree =
        Parse(directory, Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)));
    ASSERT_FALSE(tree.ok()) << length;
    EXPECT_EQ(tree.error().kind(), ErrorKind::kCorrupt) << tree.error().ToString();
    EXPECT_NE(tree.error().place(), "");
  }
}

TEST_P(GatanTags, AnyByteChangedIsReadOrRefused) {
  TestTagFile file = Sample();
  std::tie(file.version, file.little_endian) = GetParam();
  const TestDirectory directory;
  const Bytes bytes = file.Build();
  for (size_t at = 0; at < 900; ++at) {
    for (const int value : {0x00, 0xFF, 0x14, 0x7F}) {
      Bytes changed = bytes;
      changed[at] = static_cast<std::byte>(value);
      (void)Parse(directory, changed).ok();  // no crash, no hang, no huge allocation
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, GatanTags,
                         testing::Values(std::pair{3U, true}, std::pair{3U, false},
                                         std::pair{4U, true}, std::pair{4U, false}));

TEST(GatanTagsMalformed, NestedTooDeep) {
  TestTag tag = TestTag::Number<int32_t>("x", 1);
  for (int i = 0; i < 200; ++i) tag = TestTag::Group("g", {tag});
  const TestDirectory directory;
  const auto tree = Parse(directory, TestTagFile{.root = {tag}}.Build());
  ASSERT_FALSE(tree.ok());
  EXPECT_NE(tree.error().ToString().find("nested too deep"), std::string::npos);
}

TEST(GatanTagsMalformed, CountsAreHeldAgainstTheFile) {
  TestTag huge = TestTag::Array("Huge", 7, 8, Bytes(8));
  huge.descriptor[2] = uint64_t{1} << 61;  // times 8 overflows
  const TestDirectory directory;
  auto tree = Parse(directory, TestTagFile{.root = {huge}}.Build());
  ASSERT_FALSE(tree.ok());
  EXPECT_NE(tree.error().ToString().find("ends inside the values of tag 'Huge'"), std::string::npos)
      << tree.error().ToString();

  Bytes entries = TestTagFile{.root = {TestTag::Number<int32_t>("x", 1)}}.Build();
  entries[18] = std::byte{0x7F};  // the root's number of entries
  tree = Parse(directory, entries);
  ASSERT_FALSE(tree.ok());
  EXPECT_NE(tree.error().ToString().find("more entries than the file can hold"), std::string::npos);
}

TEST(GatanTagsMalformed, UnknownTypesAreSkippedWhereTheLengthIsKnown) {
  TestTag odd = TestTag::Number<int32_t>("Odd", 1);
  odd.descriptor = {31};
  const TestTagFile file{.root = {odd, TestTag::Number<int32_t>("behind", 42)}};
  const TestDirectory directory;
  auto tree = Parse(directory, file.Build());
  ASSERT_TRUE(tree.ok()) << tree.error().ToString();
  EXPECT_EQ(tree->root.Child("behind")->Integer(), 42);
  TestTagFile older = file;
  older.version = 3;
  tree = Parse(directory, older.Build());
  ASSERT_FALSE(tree.ok());
  EXPECT_NE(tree.error().ToString().find("'Odd' is of a type that is not known"),
            std::string::npos);
}

TEST(GatanTagText, NamesAreUtf8OrLatin1) {
  EXPECT_EQ(TextFromBytes("nm"), "nm");
  EXPECT_EQ(TextFromBytes("\xB5m"), "\u00B5m");
  EXPECT_EQ(TextFromBytes("\xC2\xB5m"), "\u00B5m");
  EXPECT_EQ(TextFromBytes(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(TextFromUtf16(u"\u00C5\U0001F600"), "\u00C5\U0001F600");
  EXPECT_EQ(TextFromUtf16(std::u16string(1, char16_t{0xD800})), std::nullopt);
  EXPECT_EQ(TextFromUtf16(std::u16string(1, char16_t{3})), std::nullopt);
}

}  // namespace
}  // namespace penstock::ingest::gatan
