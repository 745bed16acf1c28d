#include "cachefs/upstream/s3_credentials.h"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <sstream>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr uint64_t kLargestFile = uint64_t{1} << 20;

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string FirstOf(std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    if (std::string value = FromEnvironment(name); !value.empty()) return value;
  }
  return {};
}

std::filesystem::path FileNamed(const char* variable, const char* below_home) {
  if (const std::string named = FromEnvironment(variable); !named.empty()) return named;
  const std::string home = FromEnvironment("HOME");
  return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / below_home;
}

std::string Profile() {
  const std::string named = FirstOf({"AWS_PROFILE", "AWS_DEFAULT_PROFILE"});
  return named.empty() ? "default" : named;
}

std::string Trimmed(const std::string& text) {
  constexpr char kSpaces[] = " \t\r";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::string FromConfig(const std::string& key) {
  const auto file = FileNamed("AWS_CONFIG_FILE", ".aws/config");
  const auto text = ReadWholeFile(file, kLargestFile);
  if (!text.ok()) return {};
  const std::string profile = Profile();
  const auto section =
      ParseIniSection(*text, profile == "default" ? profile : "profile " + profile);
  const auto found = section.find(key);
  return found == section.end() ? std::string() : found->second;
}

}  // namespace

std::map<std::string, std::string> ParseIniSection(const std::string& text,
                                                   const std::string& section) {
  std::map<std::string, std::string> values;
  std::istringstream lines(text);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    const bool indented = !line.empty() && (line[0] == ' ' || line[0] == '\t');
    line = Trimmed(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      inside = Trimmed(line.substr(1, line.size() - 2)) == section;
      continue;
    }
    const size_t equals = line.find('=');
    // Indented lines belong to a value of their own ("s3 =" and what follows).
    if (!inside || indented || equals == std::string::npos) continue;
    values[Trimmed(line.substr(0, equals))] = Trimmed(line.substr(equals + 1));
  }
  return values;
}

S3CredentialsSource::S3CredentialsSource(bool instance)
    : file_(FileNamed("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")),
      profile_(Profile()),
      of_role_(S3RoleCredentials::FromEnvironment(instance)) {
  S3Credentials credentials{.access_key = FromEnvironment("AWS_ACCESS_KEY_ID"),
                            .secret_key = FromEnvironment("AWS_SECRET_ACCESS_KEY"),
                            .session_token = FromEnvironment("AWS_SESSION_TOKEN")};
  if (!credentials.access_key.empty() && !credentials.secret_key.empty()) {
    from_environment_ = std::move(credentials);
  }
}

S3Credentials S3CredentialsSource::Get() {
  if (from_environment_) return *from_environment_;
  S3Credentials credentials = FromFile();
  if (!credentials.access_key.empty() || !of_role_) return credentials;
  return of_role_->Get();
}

S3Credentials S3CredentialsSource::FromFile() {
  const std::lock_guard lock(mutex_);
  const auto identity = IdentifyFile(file_);
  if (!identity.ok() || (read_ && *read_ == *identity)) return from_file_;
  const auto text = ReadWholeFile(file_, kLargestFile);
  if (!text.ok()) {
    spdlog::warn("{}", text.error().ToString());
    return from_file_;
  }
  auto section = ParseIniSection(*text, profile_);
  from_file_ = {.access_key = section["aws_access_key_id"],
                .secret_key = section["aws_secret_access_key"],
                .session_token = section["aws_session_token"]};
  read_ = *identity;
  return from_file_;
}

std::string FindS3Region(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (std::string named = FirstOf({"AWS_REGION", "AWS_DEFAULT_REGION"}); !named.empty()) {
    return named;
  }
  const std::string configured = FromConfig("region");
  return configured.empty() ? "us-east-1" : configured;
}

std::string FindS3Endpoint(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (std::string named = FirstOf({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}); !named.empty()) {
    return named;
  }
  return FromConfig("endpoint_url");
}

}  // namespace penstock::cachefs
