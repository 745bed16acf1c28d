// S3 credentials and settings from where the tools of S3 keep them: the environment (AWS_*), then
// ~/.aws/credentials and ~/.aws/config, then the services of containers and instances.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_S3_CREDENTIALS_H_
#define PENSTOCK_CACHEFS_UPSTREAM_S3_CREDENTIALS_H_

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cachefs/upstream/s3_role_credentials.h"
#include "cachefs/upstream/s3_signature.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

// The keys of a section "[section]" of a file as ~/.aws/credentials; empty where there is none.
std::map<std::string, std::string> ParseIniSection(const std::string& text,
                                                   const std::string& section);

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without them the profile
// AWS_PROFILE ("default") of AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), which is read again
// when it has changed: tokens that expire are renewed there. Without either: those of
// S3RoleCredentials, or none. Thread-safe.
class S3CredentialsSource {
 public:
  // `instance`: whether the metadata service of an instance may be asked without being named.
  explicit S3CredentialsSource(bool instance);
  // May take seconds where a service has to be asked.
  S3Credentials Get();

 private:
  S3Credentials FromFile();

  std::optional<S3Credentials> from_environment_;
  const std::filesystem::path file_;
  const std::string profile_;
  std::mutex mutex_;
  std::optional<FileIdentity> read_;
  S3Credentials from_file_;
  const std::unique_ptr<S3RoleCredentials> of_role_;  // or null
};

// `wanted`, or AWS_REGION, AWS_DEFAULT_REGION, "region" of the profile in AWS_CONFIG_FILE
// (~/.aws/config), "us-east-1".
std::string FindS3Region(const std::string& wanted);

// `wanted`, or AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, "endpoint_url" of the profile; "" for AWS.
std::string FindS3Endpoint(const std::string& wanted);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_S3_CREDENTIALS_H_
