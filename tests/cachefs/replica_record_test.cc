#include "cachefs/state/replica_record.h"

#include <gtest/gtest.h>

namespace penstock::cachefs {

namespace {

ReplicaRecord Example() {
  return {.dataset =
              "proposal/sc\xFF"
              "an",  // a name is bytes
          .generation = "0123456789abcdef",
          .block = -1,
          .complete = true,
          .extents = "ff3",
          .identity = {.device = 1,
                       .inode = UINT64_MAX,
                       .size = uint64_t{1} << 40,
                       .mtime_ns = -5,
                       .ctime_ns = INT64_MAX},
          .verified_at = 5};
}

TEST(ReplicaRecord, ComesBackAsItWas) {
  const ReplicaRecord record = Example();
  const auto decoded = DecodeRecord(EncodeRecord(record));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->dataset, record.dataset);
  EXPECT_EQ(decoded->generation, record.generation);
  EXPECT_EQ(decoded->block, record.block);
  EXPECT_EQ(decoded->complete, record.complete);
  EXPECT_EQ(decoded->extents, record.extents);
  EXPECT_TRUE(decoded->identity == record.identity);
  EXPECT_EQ(decoded->verified_at, 5);
}

TEST(ReplicaRecord, OfAnEarlierVersionDoesNotSayWhenItWasVerified) {
  std::string bytes = EncodeRecord(Example());
  bytes.pop_back();
  const auto decoded = DecodeRecord(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->generation, Example().generation);
  EXPECT_EQ(decoded->verified_at, 0);
}

TEST(ReplicaRecord, ReadsTheFirstVersion) {
  const auto decoded =
      DecodeRecord(R"({"dataset":"scan","generation":"g","block":3,"complete":false,"extents":"7",)"
                   R"("device":1,"inode":2,"size":3,"mtime_ns":4,"ctime_ns":5})");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->dataset, "scan");
  EXPECT_EQ(decoded->block, 3);
  EXPECT_FALSE(decoded->complete);
  EXPECT_EQ(decoded->identity.ctime_ns, 5);
}

TEST(ReplicaRecord, HasAnOutlineThatSaysTheSame) {
  const std::string bytes = EncodeRecord(Example());
  ReplicaRecord storage;
  const auto outline = OutlineRecord(bytes, storage);
  ASSERT_TRUE(outline);
  EXPECT_EQ(outline->dataset, Example().dataset);
  EXPECT_EQ(outline->block, -1);
  EXPECT_TRUE(outline->complete);
  EXPECT_EQ(outline->extents, "ff3");
  EXPECT_EQ(outline->file_bytes, uint64_t{1} << 40);

  const std::string first_version =
      R"({"dataset":"scan","generation":"g","block":3,"complete":false,"extents":"7",)"
      R"("device":1,"inode":2,"size":3,"mtime_ns":4,"ctime_ns":5})";
  const auto first = OutlineRecord(first_version, storage);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->dataset, "scan");
  EXPECT_EQ(first->block, 3);
  EXPECT_EQ(first->extents, "7");
  EXPECT_EQ(first->file_bytes, 3U);

  EXPECT_FALSE(OutlineRecord("", storage));
  EXPECT_FALSE(OutlineRecord(bytes.substr(0, 12), storage));
  EXPECT_FALSE(OutlineRecord("{}", storage));
}

TEST(ReplicaRecord, IsNoneWhereItIsCutOffAnywhere) {
  const std::string bytes = EncodeRecord(Example());
  // (Without its last field, one byte, it is one of an earlier version.)
  for (size_t length = 0; length + 1 < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeRecord(std::string_view(bytes).substr(0, length))) << length;
  }
  EXPECT_TRUE(DecodeRecord(bytes + "a field of a later version"));
  EXPECT_FALSE(DecodeRecord("{\"dataset\":1}"));
  EXPECT_FALSE(DecodeRecord("\x02"));
  EXPECT_FALSE(DecodeRecord(std::string("\x01") + std::string(20, '\xFF')));
}

}  // namespace

}  // namespace penstock::cachefs
