// Credentials for S3 that a machine or a container is given for a while: by the credentials
// endpoint of its containers, or by the metadata service of an instance (IMDSv2).

#ifndef PENSTOCK_CACHEFS_UPSTREAM_S3_ROLE_CREDENTIALS_H_
#define PENSTOCK_CACHEFS_UPSTREAM_S3_ROLE_CREDENTIALS_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cachefs/upstream/http_client.h"
#include "cachefs/upstream/s3_signature.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

struct TemporaryCredentials {
  S3Credentials keys;
  std::optional<std::chrono::system_clock::time_point> expires;
};

// What both services answer: {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}. Found in an
// error: the names of what is missing, never a value.
Result<TemporaryCredentials> ParseTemporaryCredentials(const std::string& text);

// They are asked for anew 5 minutes before they expire, or after half of their time where that is
// shorter; while the service does not answer, those there are go on being used. Thread-safe: one
// thread asks, others wait only where there are none that hold.
class S3RoleCredentials {
 public:
  // AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN or
  // _TOKEN_FILE; else, where `instance`, AWS_EC2_METADATA_SERVICE_ENDPOINT or the address that
  // instances know, unless AWS_EC2_METADATA_DISABLED is "true". Null where there is neither.
  static std::unique_ptr<S3RoleCredentials> FromEnvironment(bool instance);

  // Empty ones where there are none; why is told in the log. May take seconds.
  S3Credentials Get();

 private:
  using Clock = std::chrono::system_clock;
  struct Service {
    std::string container_url;  // "" for the metadata service
    std::string metadata_endpoint;
    std::string authorization;
    std::filesystem::path authorization_file;
  };

  explicit S3RoleCredentials(Service service);
  Result<TemporaryCredentials> Ask();
  Result<TemporaryCredentials> AskContainer(HttpClient::Clock::time_point deadline);
  Result<TemporaryCredentials> AskInstance(HttpClient::Clock::time_point deadline);
  Result<std::string> Fetch(const HttpRequest& request, HttpClient::Clock::time_point deadline);
  bool Hold() const;  // mutex_ is held

  const Service service_;
  HttpClient client_;
  std::mutex asking_;  // taken before mutex_
  std::mutex mutex_;
  TemporaryCredentials known_;
  Clock::time_point ask_again_;
  bool failed_ = false;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_S3_ROLE_CREDENTIALS_H_
