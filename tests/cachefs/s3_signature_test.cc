#include "cachefs/upstream/s3_signature.h"

#include <gtest/gtest.h>

namespace penstock::cachefs {
namespace {

// The examples of "Authenticating Requests: Using the Authorization Header" in Amazon's S3
// documentation.
const S3Credentials kExample{.access_key = "AKIAIOSFODNN7EXAMPLE",
                             .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
constexpr std::time_t kExampleTime = 1369353600;  // 2013-05-24T00:00:00Z

std::string Authorization(S3RequestToSign request) {
  request.headers["host"] = "examplebucket.s3.amazonaws.com";
  request.region = "us-east-1";
  request.time = kExampleTime;
  return SignS3Request(kExample, request).at("authorization");
}

TEST(S3Signature, OfAPartOfAnObject) {
  EXPECT_EQ(Authorization({.method = "GET",
                           .path = "/test.txt",
                           .headers = {{"range", "bytes=0-9"}},
                           .region = {}}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature="
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3Signature, OfAListing) {
  EXPECT_TRUE(Authorization({.method = "GET",
                             .path = "/",
                             .query = {{"prefix", "J"}, {"max-keys", "2"}},
                             .headers = {},
                             .region = {}})
                  .ends_with("Signature="
                             "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
  EXPECT_TRUE(
      Authorization(
          {.method = "GET", .path = "/", .query = {{"lifecycle", ""}}, .headers = {}, .region = {}})
          .ends_with("Signature="
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(S3Signature, SignsTheTokenOfASession) {
  S3Credentials credentials = kExample;
  credentials.session_token = "token";
  const auto headers = SignS3Request(
      credentials,
      {.method = "HEAD", .path = "/x", .headers = {{"host", "h"}}, .region = "eu-central-1"});
  EXPECT_EQ(headers.at("x-amz-security-token"), "token");
  EXPECT_NE(headers.at("authorization")
                .find("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            std::string::npos);
  EXPECT_FALSE(headers.contains("host"));
}

TEST(S3Query, IsEncodedAndInOrder) {
  EXPECT_EQ(EncodeQuery({{"prefix", "a b/+&="}, {"list-type", "2"}}),
            "list-type=2&prefix=a%20b%2F%2B%26%3D");
}

}  // namespace
}  // namespace penstock::cachefs
