#include "cachefs/upstream/s3_role_credentials.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

namespace {

constexpr char kContainerHost[] = "http://169.254.170.2";
constexpr char kMetadataEndpoint[] = "http://169.254.169.254";
constexpr char kTokenPath[] = "/latest/api/token";
constexpr char kRolePath[] = "/latest/meta-data/iam/security-credentials/";
constexpr int kTokenSeconds = 21600;
constexpr uint64_t kLongestToken = 64 * 1024;
constexpr long kOk = 200;

// A service on the machine itself answers at once.
constexpr std::chrono::seconds kPatience{3};
constexpr std::chrono::minutes kBeforeExpiry{5};
// Where the service says no time.
constexpr std::chrono::minutes kWithoutExpiry{15};
constexpr std::chrono::seconds kAfterFailure{10};
// A machine that never had any is no instance.
constexpr std::chrono::minutes kAfterNone{5};

std::string FromEnvironmentOr(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

std::string TrimmedEnd(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  return text;
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// "2026-01-31T12:00:00Z", also with a fraction of a second.
std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text) {
  std::tm time{};
  const char* const rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr || (*rest != 'Z' && *rest != '.')) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&time));
}

// The token that goes with the request is for nobody else on the way: HTTPS, or an address that
// does not leave the machine.
bool IsFitForAToken(const std::string& url) {
  if (url.starts_with("https://")) return true;
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return false;
  const std::string authority =
      url.substr(kScheme.size(), url.find_first_of("/?#", kScheme.size()) - kScheme.size());
  if (authority.find('@') != std::string::npos) return false;
  const size_t name_end = authority.starts_with('[') ? authority.find(']') : 0;
  const std::string host =
      authority.substr(0, authority.find(':', std::min(name_end, authority.size())));
  if (host.starts_with("127.")) {
    return host.find_first_not_of("0123456789.") == std::string::npos;
  }
  return host == "localhost" || host == "[::1]" || host == "169.254.170.2" ||
         host == "169.254.170.23" || host == "[fd00:ec2::23]";
}

}  // namespace

Result<TemporaryCredentials> ParseTemporaryCredentials(const std::string& text) {
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  Error unusable(ErrorKind::kIo, "the service for credentials gave none that can be used");
  if (!answer.is_object()) return std::move(unusable).Expected("a JSON object");
  const std::string code = TextOf(answer, "Code");
  if (!code.empty() && code != "Success") return std::move(unusable).Found(code);
  TemporaryCredentials given{.keys = {.access_key = TextOf(answer, "AccessKeyId"),
                                      .secret_key = TextOf(answer, "SecretAccessKey"),
                                      .session_token = TextOf(answer, "Token")},
                             .expires = std::nullopt};
  if (given.keys.access_key.empty()) return std::move(unusable).Expected("AccessKeyId");
  if (given.keys.secret_key.empty()) return std::move(unusable).Expected("SecretAccessKey");
  if (const std::string expiration = TextOf(answer, "Expiration"); !expiration.empty()) {
    given.expires = ParseTime(expiration);
    if (!given.expires) return std::move(unusable).Expected("Expiration, a time in UTC");
  }
  return given;
}

std::unique_ptr<S3RoleCredentials> S3RoleCredentials::FromEnvironment(bool instance) {
  Service service;
  const std::string relative = FromEnvironmentOr("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "");
  service.container_url = relative.empty()
                              ? FromEnvironmentOr("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
                              : kContainerHost + relative;
  service.authorization = FromEnvironmentOr("AWS_CONTAINER_AUTHORIZATION_TOKEN", "");
  service.authorization_file = FromEnvironmentOr("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "");
  if (service.container_url.empty()) {
    const std::string named = FromEnvironmentOr("AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
    const bool disabled = FromEnvironmentOr("AWS_EC2_METADATA_DISABLED", "") == "true";
    if (disabled || (!instance && named.empty())) return nullptr;
    service.metadata_endpoint = named.empty() ? kMetadataEndpoint : named;
    while (service.metadata_endpoint.ends_with('/')) service.metadata_endpoint.pop_back();
  } else if (!IsFitForAToken(service.container_url)) {
    spdlog::error("no credentials are asked for at {}: neither HTTPS nor on this machine",
                  service.container_url);
    return nullptr;
  }
  return std::unique_ptr<S3RoleCredentials>(new S3RoleCredentials(std::move(service)));
}

S3RoleCredentials::S3RoleCredentials(Service service)
    : service_(std::move(service)),
      client_({.timeout = kPatience, .follow_redirects = false, .use_proxy = false}) {}

bool S3RoleCredentials::Hold() const {
  return !known_.keys.access_key.empty() && (!known_.expires || *known_.expires > Clock::now());
}

S3Credentials S3RoleCredentials::Get() {
  std::unique_lock asking(asking_, std::defer_lock);
  {
    const std::lock_guard lock(mutex_);
    if (Clock::now() < ask_again_) return known_.keys;
    if (Hold() && !asking.try_lock()) return known_.keys;  // somebody asks already
  }
  if (!asking.owns_lock()) asking.lock();
  {
    const std::lock_guard lock(mutex_);
    if (Clock::now() < ask_again_) return known_.keys;  // somebody has asked meanwhile
  }
  auto given = Ask();
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (!given.ok()) {
    const bool had_any = !known_.keys.access_key.empty();
    if (!std::exchange(failed_, true) || had_any) spdlog::warn("{}", given.error().ToString());
    ask_again_ = now + (had_any ? Clock::duration(kAfterFailure) : Clock::duration(kAfterNone));
    // Containers that are told where to ask have some, sooner or later.
    if (!service_.container_url.empty()) ask_again_ = now + kAfterFailure;
    return known_.keys;
  }
  known_ = *std::move(given);
  failed_ = false;
  if (!known_.expires) {
    ask_again_ = now + kWithoutExpiry;
  } else {
    const Clock::duration left = *known_.expires - now;
    ask_again_ = now + std::max(left - kBeforeExpiry, left / 2);
  }
  return known_.keys;
}

Result<TemporaryCredentials> S3RoleCredentials::Ask() {
  const auto deadline = client_.Deadline();
  return service_.container_url.empty() ? AskInstance(deadline) : AskContainer(deadline);
}

Result<TemporaryCredentials> S3RoleCredentials::AskContainer(
    HttpClient::Clock::time_point deadline) {
  HttpRequest request{.url = service_.container_url};
  std::string token = service_.authorization;
  if (!service_.authorization_file.empty()) {
    // It is renewed there.
    PENSTOCK_ASSIGN_OR_RETURN(token, ReadWholeFile(service_.authorization_file, kLongestToken));
    token = TrimmedEnd(std::move(token));
  }
  if (token.find_first_of("\r\n") != std::string::npos) {
    return Error::InvalidArgument("the token for credentials has more than one line");
  }
  if (!token.empty()) request.headers.push_back("Authorization: " + token);
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, Fetch(request, deadline));
  return ParseTemporaryCredentials(text);
}

Result<TemporaryCredentials> S3RoleCredentials::AskInstance(
    HttpClient::Clock::time_point deadline) {
  const std::string& endpoint = service_.metadata_endpoint;
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::string token,
      Fetch({.method = HttpRequest::Method::kPut,
             .url = endpoint + kTokenPath,
             .headers = {fmt::format("X-aws-ec2-metadata-token-ttl-seconds: {}", kTokenSeconds),
                         "Content-Length: 0"}},
            deadline));
  if (token.empty() || token.find_first_of("\r\n") != std::string::npos) {
    return Error(ErrorKind::kIo, "the metadata service gave no token").In(endpoint);
  }
  const std::vector<std::string> headers = {"X-aws-ec2-metadata-token: " + token};
  PENSTOCK_ASSIGN_OR_RETURN(const std::string roles,
                            Fetch({.url = endpoint + kRolePath, .headers = headers}, deadline));
  const std::string role = TrimmedEnd(roles.substr(0, roles.find('\n')));
  if (role.empty()) return Error(ErrorKind::kIo, "the instance has no role").In(endpoint);
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::string text,
      Fetch({.url = endpoint + kRolePath + role, .headers = headers}, deadline));
  return ParseTemporaryCredentials(text);
}

Result<std::string> S3RoleCredentials::Fetch(const HttpRequest& request,
                                             HttpClient::Clock::time_point deadline) {
  PENSTOCK_ASSIGN_OR_RETURN(HttpResponse response, client_.Perform(request, deadline));
  if (response.status == kOk) return std::move(response.body);
  return Error(ErrorKind::kIo, "the service for credentials refuses")
      .In(request.url)
      .Found(fmt::format("status {}", response.status));
}

}  // namespace penstock::cachefs
