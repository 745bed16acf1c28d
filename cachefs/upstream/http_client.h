// HttpClient: requests over HTTP(S) by libcurl, with connections that are kept, retries and bounds.
//
// What a request may take is bounded by its deadline, retries included; a transfer that stands
// still for a third of the time-out is given up and tried anew. Tried again are: connections that
// fail or break, bodies that end early, and the answers 429, 500, 502, 503 and 504 (after what
// Retry-After asks for), with pauses that double and vary at random. Everything else is for the
// caller to judge.
//
// Certificates of servers are always checked. Redirects go to HTTP(S) only, and never from HTTPS to
// HTTP. Proxies are those that the environment names, as curl understands it.
//
// Blocking. Thread-safe; the number of connections is the number of threads that ask at once.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_HTTP_CLIENT_H_
#define PENSTOCK_CACHEFS_UPSTREAM_HTTP_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::cachefs {

struct HttpClientOptions {
  std::chrono::milliseconds timeout{30'000};  // of one request with its retries
  bool follow_redirects = true;
  bool use_proxy = true;  // of the environment
  std::string user = {};  // "" for none (then ~/.netrc is looked at)
  std::string password = {};
  std::filesystem::path certificate_authorities = {};  // "": those of the system
  std::filesystem::path certificate = {};              // of the client, PEM
  std::filesystem::path key = {};
};

struct HttpRequest {
  enum class Method { kGet, kHead, kPut };  // kPut: of nothing
  Method method = Method::kGet;
  std::string url;
  std::vector<std::string> headers = {};  // "Name: value"
  // Called before every attempt; adds headers that hold for a moment only (signatures).
  std::function<void(HttpRequest&)> sign = nullptr;
  // Where the body of an answer 206 goes. Bodies of other answers go to HttpResponse::body.
  std::span<std::byte> destination = {};
  size_t body_limit = size_t{64} << 10;  // for HttpResponse::body; a longer one is an error
};

struct HttpResponse {
  long status = 0;
  std::string url;                             // after redirects
  std::map<std::string, std::string> headers;  // names in lower case; of the last answer
  std::string body;
  size_t received = 0;  // bytes in HttpRequest::destination

  // "" where there is none.
  std::string Header(const std::string& lower_case_name) const;
};

class HttpClient {
 public:
  using Clock = std::chrono::steady_clock;

  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  Clock::time_point Deadline() const { return Clock::now() + options_.timeout; }

  // Any answer of the server is a success here, a 503 after the last try too; an answer 200 where
  // `destination` asks for a part comes back without its body. Errors: kTimeout, and kIo, also
  // where the body is longer than was asked for.
  Result<HttpResponse> Perform(const HttpRequest& request, Clock::time_point deadline);

 private:
  class Handles;
  struct Attempt;
  Attempt PerformOnce(HttpRequest request, Clock::time_point deadline);

  const HttpClientOptions options_;
  const std::unique_ptr<Handles> handles_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_HTTP_CLIENT_H_
