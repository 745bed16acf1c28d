#include "cachefs/upstream/s3_upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <unordered_set>
#include <utility>

#include "cachefs/upstream/http_object_store.h"
#include "cachefs/upstream/http_values.h"
#include "cachefs/upstream/s3_credentials.h"
#include "cachefs/upstream/s3_listing.h"
#include "cachefs/upstream/s3_signature.h"

namespace penstock::cachefs {

namespace {

constexpr long kOk = 200;
constexpr long kForbidden = 403;
constexpr long kNotFound = 404;
constexpr size_t kLargestPage = size_t{16} << 20;

// Where requests go: "SCHEME://HOST" and what stands before every key in the path.
struct Bucket {
  std::string origin;       // "https://host:port"
  std::string host;         // as the Host header has it
  std::string path_before;  // "/bucket" or "", percent-encoded
};

bool IsName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

// As curl writes the Host header: without the port that goes without saying.
std::string HostHeader(const std::string& scheme, std::string authority) {
  const std::string implied = scheme == "https" ? ":443" : ":80";
  if (authority.ends_with(implied)) authority.erase(authority.size() - implied.size());
  return authority;
}

class S3Upstream final : public HttpObjectStore {
 public:
  S3Upstream(const std::string& address, Bucket bucket, std::string prefix, std::string region,
             bool of_aws, HttpClientOptions options)
      : HttpObjectStore(address, std::move(options)),
        bucket_(std::move(bucket)),
        prefix_(std::move(prefix)),
        region_(std::move(region)),
        credentials_(/*instance=*/of_aws) {}

  Result<struct stat> Stat(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(const HttpObject object, Describe(path, client_.Deadline()));
    return object.status;
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    const Deadline deadline = client_.Deadline();
    const std::string prefix = DirectoryKey(path);
    std::vector<DirectoryEntry> entries;
    std::unordered_set<std::string> files;
    std::vector<std::string> directories;
    bool exists = path.empty();
    std::string token;
    while (true) {
      PENSTOCK_ASSIGN_OR_RETURN(const S3Page page, ListPage(path, prefix, "/", token, deadline));
      exists = exists || !page.keys.empty() || !page.prefixes.empty();
      for (size_t i = 0; i < page.keys.size(); ++i) {
        const std::string& key = page.keys[i];
        if (!key.starts_with(prefix)) return NoSuchListing(path, key);
        const std::string name = key.substr(prefix.size());
        // "prefix/" itself: how some tools mark a directory.
        if (!IsName(name) || !files.insert(name).second) continue;
        entries.push_back(Entry(path, name, S_IFREG));
        const S3Listed& listed = page.objects[i];
        if (!listed.size || listed.etag.empty()) continue;
        const auto object =
            ObjectOf(listed.etag, listed.modified, *listed.size, PathOf(path, name));
        if (!object.ok()) continue;
        entries.back().status = std::make_shared<const struct stat>(object->status);
      }
      for (const std::string& common : page.prefixes) {
        if (!common.starts_with(prefix) || !common.ends_with('/')) {
          return NoSuchListing(path, common);
        }
        const std::string name = common.substr(prefix.size(), common.size() - prefix.size() - 1);
        if (IsName(name)) directories.push_back(name);
      }
      if (page.next.empty()) break;
      if (page.next == token) return NoSuchListing(path, "a page that follows itself");
      token = page.next;
    }
    if (!exists) return Error::NotFound("no such directory").In(FullName(path));
    for (const std::string& name : directories) {
      if (files.contains(name)) continue;
      entries.push_back(Entry(path, name, S_IFDIR));
      entries.back().status =
          std::make_shared<const struct stat>(Directory(PathOf(path, name)).status);
    }
    return entries;
  }

 protected:
  HttpRequest RequestFor(const std::string& path) const override { return Request(Key(path), {}); }

  Error Explain(const HttpResponse& response, const std::string& path, Deadline deadline) override {
    S3Failure failure = ParseS3Failure(response.body);
    if (failure.code.empty() && response.status == kNotFound) {
      // An answer to HEAD has no body that would tell a missing key from a missing bucket.
      const auto page = ListPage(path, DirectoryKey(""), "", "", deadline, 1);
      if (!page.ok()) return page.error();
      return Error::NotFound("no such object").In(FullName(path));
    }
    if (failure.code == "NoSuchKey") return Error::NotFound("no such object").In(FullName(path));
    if (failure.code == "PreconditionFailed") {
      return Error::FromErrno(ESTALE, "the object has changed").In(FullName(path));
    }
    if (failure.code == "AccessDenied") {
      return Error::FromErrno(EACCES, "S3 refuses it").In(FullName(path));
    }
    const std::string region = response.Header("x-amz-bucket-region");
    const bool elsewhere = !region.empty() && region != region_;
    return Error(ErrorKind::kIo, failure.code == "NoSuchBucket" ? "the store cannot be reached"
                                                                : "S3 does not give the object")
        .In(FullName(path))
        .Found(fmt::format("status {}{}{}{}{}", response.status, failure.code.empty() ? "" : ", ",
                           failure.code, failure.message.empty() ? "" : ": ", failure.message))
        .Advice(elsewhere ? fmt::format("the bucket is in the region {}", region) : std::string());
  }

  Result<HttpObject> Describe(const std::string& path, Deadline deadline) override {
    if (path.empty()) {
      PENSTOCK_RETURN_IF_ERROR(ListPage(path, DirectoryKey(""), "", "", deadline, 1));
      return Directory(path);
    }
    PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, Head(path, deadline));
    if (response.status == kOk) {
      const auto size = ParseDecimal(response.Header("content-length"));
      if (!size) return Error(ErrorKind::kIo, "S3 tells no size").In(FullName(path));
      return ObjectOf(response, *size, path);
    }
    if (response.status == kForbidden) return WhyForbidden(path, deadline);
    if (response.status != kNotFound) return Explain(response, path, deadline);
    PENSTOCK_ASSIGN_OR_RETURN(const S3Page page,
                              ListPage(path, DirectoryKey(path), "", "", deadline, 1));
    if (page.keys.empty() && page.prefixes.empty()) {
      return Error::NotFound("no such object").In(FullName(path));
    }
    return Directory(path);
  }

 private:
  std::string Key(const std::string& path) const { return prefix_ + path; }
  std::string DirectoryKey(const std::string& path) const {
    return path.empty() ? prefix_ : prefix_ + path + "/";
  }
  DirectoryEntry Entry(const std::string& directory, const std::string& name, mode_t type) const {
    return {.name = name, .type = type, .inode = InodeOf(PathOf(directory, name), "")};
  }
  static std::string PathOf(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
  }
  Error NoSuchListing(const std::string& path, const std::string& found) const {
    return Error(ErrorKind::kIo, "S3 listed something else than was asked for")
        .In(FullName(path))
        .Found(found);
  }

  HttpRequest Request(const std::string& key, std::map<std::string, std::string> query) const {
    const std::string path = bucket_.path_before + "/" + PercentEncode(key, /*keep_slashes=*/true);
    HttpRequest request;
    request.url = bucket_.origin + path;
    if (!query.empty()) request.url += "?" + EncodeQuery(query);
    request.sign = [this, path, query = std::move(query)](HttpRequest& signed_request) {
      const S3Credentials credentials = credentials_.Get();
      if (credentials.access_key.empty()) return;
      const bool head = signed_request.method == HttpRequest::Method::kHead;
      const auto headers = SignS3Request(credentials, {.method = head ? "HEAD" : "GET",
                                                       .path = path,
                                                       .query = query,
                                                       .headers = {{"host", bucket_.host}},
                                                       .region = region_,
                                                       .time = std::time(nullptr)});
      for (const auto& [name, value] : headers) {
        signed_request.headers.push_back(fmt::format("{}: {}", name, value));
      }
    };
    return request;
  }

  Result<S3Page> ListPage(const std::string& path, const std::string& prefix,
                          const std::string& delimiter, const std::string& token, Deadline deadline,
                          int most = 1000) {
    std::map<std::string, std::string> query = {{"list-type", "2"},
                                                {"prefix", prefix},
                                                {"encoding-type", "url"},
                                                {"max-keys", std::to_string(most)}};
    if (!delimiter.empty()) query["delimiter"] = delimiter;
    if (!token.empty()) query["continuation-token"] = token;
    HttpRequest request = Request("", std::move(query));
    request.body_limit = kLargestPage;
    PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, client_.Perform(request, deadline));
    if (response.status == kNotFound && ParseS3Failure(response.body).code != "NoSuchBucket") {
      return Error(ErrorKind::kIo, "there is no bucket")
          .In(FullName(path))
          .Found(fmt::format("status {}", response.status))
          .Advice("check the bucket and --s3-endpoint");
    }
    if (response.status != kOk) return Explain(response, path, deadline);
    auto page = ParseS3Page(response.body);
    if (!page.ok()) return std::move(page).error().In(FullName(path));
    return page;
  }

  // The answer to HEAD does not say why: a wrong key or clock is another thing than a file that is
  // not for us.
  Error WhyForbidden(const std::string& path, Deadline deadline) {
    HttpRequest request = RequestFor(path);
    std::byte first{};
    request.headers.emplace_back("Range: bytes=0-0");
    request.destination = {&first, 1};
    const auto response = client_.Perform(request, deadline);
    if (!response.ok()) return response.error();
    return Explain(*response, path, deadline);
  }

  const Bucket bucket_;
  const std::string prefix_;  // "" or with a '/' at the end
  const std::string region_;
  mutable S3CredentialsSource credentials_;
};

}  // namespace

Result<std::shared_ptr<Upstream>> MakeS3Upstream(const std::string& address,
                                                 const std::string& endpoint,
                                                 const std::string& region,
                                                 HttpClientOptions options) {
  constexpr std::string_view kScheme = "s3://";
  std::string rest = address.substr(std::min(address.size(), kScheme.size()));
  while (rest.ends_with('/')) rest.pop_back();
  const size_t slash = rest.find('/');
  const std::string name = rest.substr(0, slash);
  const std::string prefix = slash == std::string::npos ? "" : rest.substr(slash + 1) + "/";
  if (!address.starts_with(kScheme) || name.empty() || prefix.starts_with('/')) {
    return Error::InvalidArgument("not the address of a bucket")
        .In(address)
        .Expected("s3://BUCKET[/PREFIX]");
  }
  Bucket bucket;
  if (endpoint.empty()) {
    // A name with dots would not match the certificate of AWS.
    const bool in_path = name.find('.') != std::string::npos;
    const std::string service = fmt::format("s3.{}.amazonaws.com", region);
    bucket.host = in_path ? service : name + "." + service;
    bucket.origin = "https://" + bucket.host;
    if (in_path) bucket.path_before = "/" + PercentEncode(name, false);
  } else {
    const size_t colon = endpoint.find("://");
    const std::string scheme = endpoint.substr(0, colon);
    if (colon == std::string::npos || (scheme != "http" && scheme != "https") ||
        endpoint.size() <= colon + 3 || endpoint.find_first_of("?#@ ") != std::string::npos) {
      return Error::InvalidArgument("not the address of an S3 service")
          .In(endpoint)
          .Expected("http(s)://HOST[:PORT]");
    }
    std::string service = endpoint;
    while (service.ends_with('/')) service.pop_back();
    const size_t path = service.find('/', colon + 3);
    bucket.origin = service.substr(0, path);
    bucket.host = HostHeader(scheme, bucket.origin.substr(colon + 3));
    bucket.path_before = path == std::string::npos ? "" : service.substr(path);
    bucket.path_before += "/" + PercentEncode(name, false);
  }
  options.follow_redirects = false;
  std::string store_name = "s3://" + rest;
  return std::shared_ptr<Upstream>(
      std::make_shared<S3Upstream>(store_name, std::move(bucket), prefix, region,
                                   /*of_aws=*/endpoint.empty(), std::move(options)));
}

}  // namespace penstock::cachefs
