// What servers answer is not to be trusted: listings that are cut, repeated and mixed at random
// give sound names or an error.

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "cachefs/upstream/http_listing.h"
#include "cachefs/upstream/http_values.h"
#include "cachefs/upstream/s3_credentials.h"
#include "cachefs/upstream/s3_listing.h"

namespace penstock::cachefs {
namespace {

constexpr int kRounds = 4000;

const std::array<std::string, 6> kSeeds = {
    R"([{ "name":"sub", "type":"directory", "mtime":"Wed, 01 Jan 2025 00:00:00 GMT" },
        { "name":"a \"b\"\u00e9", "type":"file", "size":3 }])",
    R"(<html><!-- c --><a href="../">../</a><a href='with%20space/'>w</a><A HREF=x?y>&amp;</A>
       <a href="&#x41;&#65;&amp;">z</a></html>)",
    R"(<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated>
       <NextContinuationToken>t</NextContinuationToken><EncodingType>url</EncodingType>
       <Contents><Key>s%20/a</Key></Contents><CommonPrefixes><Prefix>s/</Prefix></CommonPrefixes>
       </ListBucketResult>)",
    "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>",
    "bytes 10-19/100",
    "[default]\naws_access_key_id = a\n[profile x]\nregion=r\n"};

std::string Mutated(std::mt19937& random) {
  const auto below = [&](size_t limit) { return random() % std::max<size_t>(limit, 1); };
  std::string text = kSeeds[below(kSeeds.size())];
  for (size_t change = 0, changes = 1 + below(6); change < changes; ++change) {
    const size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        text.erase(at, below(10));
        break;
      case 3: {
        const std::string& other = kSeeds[below(kSeeds.size())];
        text.insert(at, other.substr(below(other.size()), below(40)));
        break;
      }
      default:
        text += text.substr(at, 30);
    }
  }
  return text;
}

void ExpectNames(const std::vector<DirectoryEntry>& entries) {
  for (const DirectoryEntry& entry : entries) {
    EXPECT_FALSE(entry.name.empty());
    EXPECT_NE(entry.name, ".");
    EXPECT_NE(entry.name, "..");
    EXPECT_EQ(entry.name.find('/'), std::string::npos);
    EXPECT_EQ(entry.name.find('\0'), std::string::npos);
  }
}

TEST(ListingMutations, GiveSoundNamesOrAnError) {
  std::mt19937 random(20261121);
  for (int round = 0; round < kRounds; ++round) {
    const std::string text = Mutated(random);
    ExpectNames(ParseHtmlListing(text, "/store/"));
    if (const auto listed = ParseJsonListing(text); listed.ok()) {
      ExpectNames(listed->entries);
      EXPECT_EQ(listed->attributes.size(), listed->entries.size());
    }
    (void)ParseS3Page(text).ok();
    (void)ParseS3Failure(text);
    (void)ParseIniSection(text, "default");
    if (const auto range = ParseContentRange(text); range && range->has_range) {
      EXPECT_LE(range->first, range->last);
      EXPECT_LT(range->last, range->total);
    }
    if (const auto decoded = PercentDecode(text)) {
      EXPECT_LE(decoded->size(), text.size());
    }
    EXPECT_EQ(PercentDecode(PercentEncode(text, false)).has_value(),
              text.find('\0') == std::string::npos);
  }
}

}  // namespace
}  // namespace penstock::cachefs
