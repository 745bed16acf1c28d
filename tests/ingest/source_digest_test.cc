#include "ingest/pipeline/source_digest.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

std::string RandomBytes(size_t count) {
  std::mt19937_64 engine(7);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(engine());
  return bytes;
}

// The definition, straight: the digest over the digests of the leaves.
std::string TreeDigestOf(std::string_view bytes) {
  std::string leaves;
  for (size_t at = 0; at < bytes.size(); at += kDigestLeafBytes) {
    const std::string digits = HashBytes(AsBytes(bytes.substr(at, kDigestLeafBytes)));
    for (size_t i = 0; i < digits.size(); i += 2) {
      leaves += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    }
  }
  return HashBytes(AsBytes(leaves));
}

struct Fixture {
  explicit Fixture(size_t bytes) : text(RandomBytes(bytes)) {
    path = folder.Write("source.raw", text);
    files = {{path, "frames", "", *IdentifyFile(path)}};
  }
  void Observe(SourceDigests& digests, uint64_t from, uint64_t to) const {
    digests.OnBytes(0, from, AsBytes(std::string_view(text).substr(from, to - from)));
  }
  static SourceDigest Finish(SourceDigests& digests) {
    SilentProgress progress;
    auto result = digests.Finish(progress, {});
    EXPECT_TRUE(result.ok());
    return result->front();
  }
  TemporaryFolder folder;
  std::string text;
  std::filesystem::path path;
  std::vector<SourceFile> files;
};

TEST(SourceDigests, SmallFilesHaveThePlainDigest) {
  const Fixture fixture(1000);
  SourceDigests digests(fixture.files);
  const SourceDigest digest = Fixture::Finish(digests);
  EXPECT_EQ(digest.algorithm, "xxh3-128");
  EXPECT_EQ(digest.digest, HashBytes(AsBytes(fixture.text)));
}

TEST(SourceDigests, RangesInAnyOrderGiveTheSameDigest) {
  const Fixture fixture(3 * kDigestLeafBytes + 12345);
  const std::string expected = TreeDigestOf(fixture.text);
  {
    SourceDigests nothing_seen(fixture.files);
    EXPECT_EQ(Fixture::Finish(nothing_seen).digest, expected);
  }
  SourceDigests digests(fixture.files);
  // Two "blocks", the second one first; the border lies inside leaf 1, whose end comes from a
  // range that was not preceded by its beginning.
  const uint64_t border = kDigestLeafBytes + 777;
  for (uint64_t at = border; at < fixture.text.size(); at += 1000000) {
    fixture.Observe(digests, at, std::min<uint64_t>(at + 1000000, fixture.text.size()));
  }
  for (uint64_t at = 0; at < border; at += 333333) {
    fixture.Observe(digests, at, std::min(at + 333333, border));
  }
  EXPECT_EQ(digests.MissingBytes(), kDigestLeafBytes);  // leaf 1 only
  const SourceDigest digest = Fixture::Finish(digests);
  EXPECT_EQ(digest.algorithm, "xxh3-128-tree-4MiB");
  EXPECT_EQ(digest.digest, expected);
}

TEST(SourceDigests, CompletedLeavesCanBeTakenOver) {
  const Fixture fixture(2 * kDigestLeafBytes);
  SourceDigests before(fixture.files);
  fixture.Observe(before, 0, kDigestLeafBytes);
  const std::vector<LeafDigest> leaves = before.TakeCompleted();
  ASSERT_EQ(leaves.size(), 1U);
  EXPECT_TRUE(before.TakeCompleted().empty());

  SourceDigests after(fixture.files);
  after.Adopt(leaves.front());
  after.Adopt({0, 99, leaves.front().digest});
  after.Adopt({9, 0, leaves.front().digest});
  after.Adopt({0, 1, "not a digest"});
  EXPECT_EQ(after.MissingBytes(), kDigestLeafBytes);
  EXPECT_EQ(Fixture::Finish(after).digest, TreeDigestOf(fixture.text));
}

}  // namespace
}  // namespace penstock::ingest
