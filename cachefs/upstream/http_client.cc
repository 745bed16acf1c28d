#include "cachefs/upstream/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "cachefs/upstream/http_values.h"
#include "cachefs/upstream/retry_pause.h"

namespace penstock::cachefs {

namespace {

constexpr int kAttempts = 5;
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{5'000};
constexpr std::chrono::milliseconds kLongestConnect{5'000};
constexpr long kStandstillBytesPerSecond = 512;
constexpr long kMostRedirects = 5;
constexpr size_t kMostHeaders = 200;

constexpr long kOk = 200;
constexpr long kPartialContent = 206;
constexpr long kFirstFailure = 400;

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, FreeEasy>;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// One transfer as the callbacks of curl see it.
struct Transfer {
  CURL* handle = nullptr;
  HttpRequest* request = nullptr;
  HttpResponse* response = nullptr;
  bool too_long = false;
  bool whole_file = false;  // 200 where a part was asked for

  // curl's own watch over the speed takes the mean of seconds, in which a burst hides a standstill.
  std::chrono::milliseconds patience{0};
  HttpClient::Clock::time_point moved = HttpClient::Clock::now();
  curl_off_t seen = 0;
  bool stands_still = false;
};

int WatchProgress(void* userdata, curl_off_t, curl_off_t downloaded, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(userdata);
  const auto now = HttpClient::Clock::now();
  if (downloaded != transfer.seen) {
    transfer.seen = downloaded;
    transfer.moved = now;
  }
  transfer.stands_still = now - transfer.moved > transfer.patience;
  return transfer.stands_still ? 1 : 0;
}

size_t TakeHeader(char* data, size_t, size_t size, void* userdata) {
  auto& transfer = *static_cast<Transfer*>(userdata);
  std::string_view line(data, size);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  auto& headers = transfer.response->headers;
  if (line.starts_with("HTTP/")) {
    headers.clear();  // of a redirect, or of "100 Continue"
    return size;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || headers.size() >= kMostHeaders) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  headers[name] = std::string(value);
  return size;
}

size_t TakeBody(char* data, size_t, size_t size, void* userdata) {
  auto& transfer = *static_cast<Transfer*>(userdata);
  HttpResponse& response = *transfer.response;
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  const std::span<std::byte> destination = transfer.request->destination;
  if (!destination.empty() && status == kPartialContent) {
    if (size > destination.size() - response.received) {
      transfer.too_long = true;
      return 0;
    }
    std::memcpy(destination.data() + response.received, data, size);
    response.received += size;
    return size;
  }
  if (!destination.empty() && status == kOk) {
    transfer.whole_file = true;  // which may be any number of bytes: not one more of them
    return 0;
  }
  const size_t room = transfer.request->body_limit - response.body.size();
  if (size > room && status < kFirstFailure) {
    transfer.too_long = true;
    return 0;
  }
  response.body.append(data, std::min(size, room));  // of a failure, the beginning will do
  return size;
}

bool IsWorthRetrying(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
      return true;
    default:
      return false;
  }
}

bool IsWorthRetrying(long status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

// libcurl is told not to touch signals, so a connection that breaks while it is written to must not
// end the process.
void PrepareProcess() {
  static const bool prepared = [] {
    std::signal(SIGPIPE, SIG_IGN);
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  }();
  (void)prepared;
}

}  // namespace

// Handles that are not in use; each keeps its connections.
class HttpClient::Handles {
 public:
  EasyHandle Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        EasyHandle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    return EasyHandle(curl_easy_init());
  }
  void Return(EasyHandle handle) {
    curl_easy_reset(handle.get());
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(handle));
  }

 private:
  std::mutex mutex_;
  std::vector<EasyHandle> idle_;
};

struct HttpClient::Attempt {
  Result<HttpResponse> result;
  bool again = false;
};

std::string HttpResponse::Header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? std::string() : found->second;
}

HttpClient::HttpClient(HttpClientOptions options)
    : options_(std::move(options)), handles_(std::make_unique<Handles>()) {
  PrepareProcess();
}

HttpClient::~HttpClient() = default;

HttpClient::Attempt HttpClient::PerformOnce(HttpRequest request, Clock::time_point deadline) {
  using std::chrono::milliseconds;
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
  if (left.count() <= 0) {
    return {Error::Timeout("the server did not answer in time").In(request.url), false};
  }
  if (request.sign) request.sign(request);
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    curl_slist* const longer = curl_slist_append(headers.get(), header.c_str());
    (void)headers.release();
    headers.reset(longer);
  }

  EasyHandle handle = handles_->Take();
  CURL* const curl = handle.get();
  if (curl == nullptr) return {Error::Internal("libcurl gives no handle"), false};
  HttpResponse response;
  Transfer transfer{.handle = curl, .request = &request, .response = &response};
  char reason[CURL_ERROR_SIZE] = "";
  const bool secure = request.url.starts_with("https:");
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, options_.follow_redirects ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "penstock");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.method == HttpRequest::Method::kHead ? 1L : 0L);
  if (request.method == HttpRequest::Method::kPut) {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
  }
  if (!options_.use_proxy) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, TakeHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, TakeBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  const milliseconds third = std::max<milliseconds>(options_.timeout / 3, milliseconds(1));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::min(third, kLongestConnect).count()));
  transfer.patience = third;
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, WatchProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kStandstillBytesPerSecond);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                   std::max(1L, static_cast<long>(third.count() / 1000)));
  if (!options_.certificate_authorities.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.certificate_authorities.c_str());
  }
  if (!options_.certificate.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, options_.certificate.c_str());
  }
  if (!options_.key.empty()) curl_easy_setopt(curl, CURLOPT_SSLKEY, options_.key.c_str());
  if (!options_.user.empty()) {
    curl_easy_setopt(curl, CURLOPT_USERNAME, options_.user.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, options_.password.c_str());
  } else if (!request.sign) {
    curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
  }

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  char* url = nullptr;
  curl_easy_getinfo(curl, CURLINFO_EFFECTIVE_URL, &url);
  if (url != nullptr) response.url = url;
  handles_->Return(std::move(handle));

  if (transfer.too_long) {
    return {Error(ErrorKind::kIo, "the server sent more than was asked for").In(request.url),
            false};
  }
  if (transfer.whole_file) return {std::move(response), false};
  if (code == CURLE_OK) {
    const bool again = IsWorthRetrying(response.status);
    return {std::move(response), again};
  }
  const std::string why = reason[0] != '\0' ? reason : curl_easy_strerror(code);
  if (code == CURLE_OPERATION_TIMEDOUT || transfer.stands_still) {
    return {Error::Timeout("the server did not answer in time").In(request.url).Found(why), true};
  }
  Error error(ErrorKind::kIo, "the request failed");
  return {std::move(error).In(request.url).Found(why), IsWorthRetrying(code)};
}

Result<HttpResponse> HttpClient::Perform(const HttpRequest& request, Clock::time_point deadline) {
  RetryPause pause(kFirstPause, kLongestPause);
  for (int attempt = 1;; ++attempt) {
    Attempt done = PerformOnce(request, deadline);
    if (!done.again || attempt == kAttempts) return std::move(done.result);
    std::chrono::milliseconds wait = pause.Next();
    if (done.result.ok()) {
      const auto asked = ParseRetryAfter(done.result->Header("retry-after"), std::time(nullptr));
      if (asked) wait = std::max(wait, *asked);
    }
    if (Clock::now() + wait >= deadline) return std::move(done.result);
    spdlog::debug("{}: {}; trying again in {} ms", request.url,
                  done.result.ok() ? fmt::format("status {}", done.result->status)
                                   : done.result.error().ToString(),
                  wait.count());
    std::this_thread::sleep_for(wait);
  }
}

}  // namespace penstock::cachefs
