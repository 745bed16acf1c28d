#include "cachefs/upstream/s3_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cachefs/upstream/s3_credentials.h"

namespace penstock::cachefs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(S3Page, HasKeysPrefixesAndTheNextPage) {
  const auto page = ParseS3Page(R"(<?xml version="1.0" encoding="UTF-8"?>
    <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
      <Name>b</Name><Prefix>store/</Prefix><IsTruncated>true</IsTruncated>
      <NextContinuationToken>a+b/c=</NextContinuationToken><EncodingType>url</EncodingType>
      <Contents><Key>store/a%20b%2Bc+d%0A</Key><Size>3</Size><ETag>&quot;d41d&quot;</ETag>
        <LastModified>2025-01-01T00:00:00.000Z</LastModified></Contents>
      <Contents><Key>store/plain</Key></Contents>
      <CommonPrefixes><Prefix>store/sub%26/</Prefix></CommonPrefixes></ListBucketResult>)");
  ASSERT_TRUE(page.ok()) << page.error().ToString();
  EXPECT_THAT(page->keys, ElementsAre("store/a b+c d\n", "store/plain"));
  EXPECT_THAT(page->prefixes, ElementsAre("store/sub&/"));
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].size, 3U);
  EXPECT_EQ(page->objects[0].etag, "\"d41d\"");
  EXPECT_EQ(page->objects[0].modified, "2025-01-01T00:00:00.000Z");
  EXPECT_EQ(page->objects[1].size, std::nullopt);
  EXPECT_EQ(page->objects[1].etag, "");
  EXPECT_EQ(page->next, "a+b/c=");
}

TEST(S3Page, LeavesKeysThatAreNotEncodedAsTheyAre) {
  const auto page = ParseS3Page(
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a%20&amp;+ </Key>"
      "</Contents></ListBucketResult>");
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(page->keys, ElementsAre("a%20&+ "));
  EXPECT_EQ(page->next, "");
}

TEST(S3Page, RefusesWhatIsNone) {
  for (const char* wrong :
       {"", "<html></html>", "<ListBucketResult><Contents>", "no XML",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents>"
        "</ListBucketResult>"}) {
    EXPECT_FALSE(ParseS3Page(wrong).ok()) << wrong;
  }
}

TEST(S3FailureText, HasACode) {
  const auto failure = ParseS3Failure(
      "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>The key</Message></Error>");
  EXPECT_EQ(failure.code, "NoSuchKey");
  EXPECT_EQ(failure.message, "The key");
  EXPECT_EQ(ParseS3Failure("<html>502</html>").code, "");
  EXPECT_EQ(ParseS3Failure("").code, "");
}

TEST(IniSection, IsThatOfTheProfile) {
  const std::string text =
      "# of the facility\n[default]\naws_access_key_id=one\naws_secret_access_key = a=b+/\r\n"
      "s3 =\n  endpoint = nested\n[ profile x ]\nregion = eu-west-1\n; end\n";
  const auto section = ParseIniSection(text, "default");
  EXPECT_EQ(section.at("aws_access_key_id"), "one");
  EXPECT_EQ(section.at("aws_secret_access_key"), "a=b+/");
  EXPECT_FALSE(section.contains("endpoint"));
  EXPECT_EQ(ParseIniSection(text, "profile x").at("region"), "eu-west-1");
  EXPECT_THAT(ParseIniSection(text, "other"), IsEmpty());
}

}  // namespace
}  // namespace penstock::cachefs
