// What the services for credentials answer.

#include "cachefs/upstream/s3_role_credentials.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace penstock::cachefs {
namespace {

TEST(S3RoleCredentials, AnswersOfTheServices) {
  const auto given = ParseTemporaryCredentials(
      R"({"Code": "Success", "LastUpdated": "2026-01-31T11:00:00Z", "Type": "AWS-HMAC",
          "AccessKeyId": "ASIA1", "SecretAccessKey": "secret/+=", "Token": "long==",
          "Expiration": "2026-01-31T12:00:00Z"})");
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->keys.access_key, "ASIA1");
  EXPECT_EQ(given->keys.secret_key, "secret/+=");
  EXPECT_EQ(given->keys.session_token, "long==");
  EXPECT_EQ(given->expires, std::chrono::system_clock::from_time_t(1769860800));
  const auto endless = ParseTemporaryCredentials(R"({"AccessKeyId": "A", "SecretAccessKey": "S"})");
  ASSERT_TRUE(endless.ok());
  EXPECT_FALSE(endless->expires.has_value());
  for (const char* const nonsense :
       {"", "[]", "{}", "nonsense", R"({"Code": "Failed", "AccessKeyId": "A"})",
        R"({"AccessKeyId": 7, "SecretAccessKey": "hush"})", R"({"AccessKeyId": "A"})",
        R"({"AccessKeyId": "A", "SecretAccessKey": "hush", "Expiration": "tomorrow"})",
        R"({"AccessKeyId": "A", "SecretAccessKey": "hush", "Expiration": "2026-01-31 12:00"})"}) {
    const auto refused = ParseTemporaryCredentials(nonsense);
    ASSERT_FALSE(refused.ok()) << nonsense;
    EXPECT_EQ(refused.error().ToString().find("hush"), std::string::npos);
  }
}

TEST(S3RoleCredentials, WhereTheyAreAskedFor) {
  const auto from = [](const char* name, const char* value, bool instance) {
    setenv(name, value, 1);
    const bool asked = S3RoleCredentials::FromEnvironment(instance) != nullptr;
    unsetenv(name);
    return asked;
  };
  for (const char* const name :
       {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED"}) {
    unsetenv(name);
  }
  EXPECT_EQ(S3RoleCredentials::FromEnvironment(false), nullptr);
  EXPECT_NE(S3RoleCredentials::FromEnvironment(true), nullptr);
  EXPECT_FALSE(from("AWS_EC2_METADATA_DISABLED", "true", true));
  EXPECT_TRUE(from("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", false));
  EXPECT_TRUE(from("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x", false));
  for (const char* const url :
       {"https://credentials.example/x", "http://127.0.0.1/x", "http://127.1.2.3:80/x",
        "http://localhost:8080/x", "http://169.254.170.2/x", "http://169.254.170.23/v1/credentials",
        "http://[::1]:7/x", "http://[fd00:ec2::23]/v1/credentials"}) {
    EXPECT_TRUE(from("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, false)) << url;
  }
  for (const char* const url :
       {"http://credentials.example/x", "http://169.254.170.231/x", "http://localhost.example/x",
        "http://127.example/x", "http://localhost:x@example/x", "http://[::1", "ftp://127.0.0.1/x",
        "x"}) {
    EXPECT_FALSE(from("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, true)) << url;
  }
}

}  // namespace
}  // namespace penstock::cachefs
