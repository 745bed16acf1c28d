#include "cachefs/upstream/http_upstream.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "cachefs/upstream/http_listing.h"
#include "cachefs/upstream/http_object_store.h"
#include "cachefs/upstream/http_values.h"

namespace penstock::cachefs {

namespace {

constexpr long kOk = 200;
constexpr long kUnauthorized = 401;
constexpr long kForbidden = 403;
constexpr long kNotFound = 404;
constexpr long kGone = 410;
constexpr size_t kLargestListing = size_t{256} << 20;

// The decoded path of a URL, "/" where it has none.
std::optional<std::string> PathOf(const std::string& url) {
  const size_t host = url.find("://");
  if (host == std::string::npos) return std::nullopt;
  const size_t path = url.find('/', host + 3);
  if (path == std::string::npos) return "/";
  return PercentDecode(url.substr(path, url.find_first_of("?#", path) - path));
}

class HttpUpstream final : public HttpObjectStore {
 public:
  HttpUpstream(std::string base, HttpClientOptions options)
      : HttpObjectStore(base, std::move(options)), base_(std::move(base)) {}

  Result<struct stat> Stat(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(const HttpObject object, Describe(path, client_.Deadline()));
    return object.status;
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    const Deadline deadline = client_.Deadline();
    HttpRequest request;
    request.url = DirectoryUrl(path);
    request.body_limit = kLargestListing;
    PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, client_.Perform(request, deadline));
    if (response.status == kForbidden) return ListsNothing(path);
    if (response.status == kNotFound) {
      PENSTOCK_ASSIGN_OR_RETURN(const HttpObject object, Describe(path, deadline));
      if (S_ISDIR(object.status.st_mode)) return ListsNothing(path);
      return Error::NotFound("not a directory").In(FullName(path));
    }
    if (response.status != kOk) return Explain(response, path, deadline);
    const std::string type = response.Header("content-type");
    std::vector<DirectoryEntry> entries;
    if (type.find("json") != std::string::npos) {
      auto listed = ParseJsonListing(response.body);
      if (!listed.ok()) return std::move(listed).error().In(FullName(path));
      entries = std::move(listed->entries);
      AddAttributes(path, *listed, entries, deadline);
    } else if (type.find("html") != std::string::npos) {
      const auto directory = PathOf(response.url);
      // Where the end of the answer is the end of the connection, half a page looks like a page.
      const bool has_end = !response.Header("content-length").empty() ||
                           !response.Header("transfer-encoding").empty() ||
                           response.body.find("</html>") != std::string::npos ||
                           response.body.find("</HTML>") != std::string::npos;
      if (!directory || !has_end) {
        return Error(ErrorKind::kIo, "the listing is cut off").In(FullName(path));
      }
      entries = ParseHtmlListing(response.body, *directory);
    } else {
      return ListsNothing(path);
    }
    for (DirectoryEntry& entry : entries) {
      entry.inode = InodeOf(path.empty() ? entry.name : path + "/" + entry.name, "");
    }
    return entries;
  }

 protected:
  HttpRequest RequestFor(const std::string& path) const override {
    HttpRequest request;
    request.url = path.empty() ? DirectoryUrl(path) : base_ + "/" + PercentEncode(path, true);
    return request;
  }

  Error Explain(const HttpResponse& response, const std::string& path, Deadline deadline) override {
    if (response.status == kNotFound || response.status == kGone) {
      // A server whose own disk is away says that there is nothing.
      const Status root = CheckRoot(deadline);
      if (!root.ok()) return root.error();
      return Error::NotFound("no such file or directory").In(FullName(path));
    }
    if (response.status == kForbidden) {
      return Error::FromErrno(EACCES, "the server refuses it").In(FullName(path));
    }
    Error error = Error(ErrorKind::kIo, "the server does not give the file")
                      .In(FullName(path))
                      .Found(fmt::format("status {}", response.status));
    if (response.status != kUnauthorized) return error;
    return std::move(error).Advice(
        "put the name and password of the server into ~/.netrc of the user that mounts");
  }

  Result<HttpObject> Describe(const std::string& path, Deadline deadline) override {
    if (path.empty()) {
      PENSTOCK_RETURN_IF_ERROR(CheckRoot(deadline));
      return Directory(path);
    }
    PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, Head(path, deadline));
    if (IsDirectory(response, path)) {
      redirects_directories_ = true;
      return Directory(path);
    }
    if (response.status == kOk) {
      const auto size = ParseDecimal(response.Header("content-length"));
      if (!size || response.url.ends_with('/')) {
        return Error(ErrorKind::kIo, "the server tells no size of the file").In(FullName(path));
      }
      return ObjectOf(response, *size, path);
    }
    // Servers that know "path/" and send nobody there.
    if (response.status == kNotFound && !redirects_directories_) {
      HttpRequest request;
      request.method = HttpRequest::Method::kHead;
      request.url = DirectoryUrl(path);
      PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse as_directory,
                                client_.Perform(request, deadline));
      if (as_directory.status == kOk) return Directory(path);
    }
    return Explain(response, path, deadline);
  }

 private:
  // Where what the listing says of a file and what the server says of the file itself come to the
  // same, it is believed of the others, too.
  void AddAttributes(const std::string& directory, const JsonListing& listing,
                     std::vector<DirectoryEntry>& entries, Deadline deadline) {
    // An ETag of nginx is made of the same two numbers.
    std::optional<bool> has_etag;
    for (size_t i = 0; i < entries.size(); ++i) {
      const std::string path =
          directory.empty() ? entries[i].name : directory + "/" + entries[i].name;
      if (entries[i].type == S_IFDIR) {
        entries[i].status = std::make_shared<const struct stat>(Directory(path).status);
        continue;
      }
      const JsonListing::Attributes& listed = listing.attributes[i];
      const auto seconds = ParseHttpDate(listed.modified);
      if (entries[i].type != S_IFREG || !listed.size || !seconds) continue;
      const auto object_with = [&](bool etag) {
        return ObjectOf(etag ? fmt::format("\"{:x}-{:x}\"", *seconds, *listed.size) : "",
                        listed.modified, *listed.size, path);
      };
      if (!has_etag) {
        const auto truth = Describe(path, deadline);
        if (!truth.ok()) return;
        has_etag = !truth->etag.empty();
        const auto guess = object_with(*has_etag);
        if (!guess.ok() || !(IdentityOf(guess->status) == IdentityOf(truth->status))) return;
      }
      const auto object = object_with(*has_etag);
      if (object.ok()) {
        entries[i].status = std::make_shared<const struct stat>(object->status);
      }
    }
  }

  std::string DirectoryUrl(const std::string& path) const {
    return path.empty() ? base_ + "/" : base_ + "/" + PercentEncode(path, true) + "/";
  }

  Error ListsNothing(const std::string& path) const {
    return Error::Unsupported("the server does not list its directories")
        .In(FullName(path))
        .Advice("turn listings on (nginx: autoindex on), or name files by their whole paths");
  }

  // The server sent us on to "path/", whether or not it lists what is there.
  bool IsDirectory(const HttpResponse& response, const std::string& path) const {
    if (response.status != kOk && response.status != kForbidden) return false;
    const auto landed = PathOf(response.url);
    return landed && landed->ends_with("/" + path + "/");
  }

  Status CheckRoot(Deadline deadline) {
    HttpRequest request;
    request.method = HttpRequest::Method::kHead;
    request.url = DirectoryUrl("");
    PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, client_.Perform(request, deadline));
    const bool missing = response.status == kNotFound || response.status == kGone;
    if (response.status < 500 && response.status != kUnauthorized && !missing) {
      root_seen_ = true;
      return {};
    }
    // There are servers that know files and no directories.
    if (missing && !root_seen_) return {};
    return Error(ErrorKind::kIo, "the store cannot be reached")
        .In(Name())
        .Found(fmt::format("status {}", response.status))
        .Advice("check the server");
  }

  const std::string base_;
  std::atomic<bool> root_seen_{false};
  std::atomic<bool> redirects_directories_{false};
};

}  // namespace

Result<std::shared_ptr<Upstream>> MakeHttpUpstream(const std::string& base,
                                                   HttpClientOptions options) {
  const size_t host = base.find("://");
  std::string address = base;
  while (address.ends_with('/')) address.pop_back();
  if (host == std::string::npos || address.size() <= host + 3 ||
      address.find_first_of("?# ") != std::string::npos) {
    return Error::InvalidArgument("not the address of a store")
        .In(base)
        .Expected("http(s)://HOST[:PORT][/PATH], the path percent-encoded");
  }
  const size_t path = address.find('/', host + 3);
  const std::string authority = address.substr(host + 3, path - (host + 3));
  if (const size_t at = authority.rfind('@'); at != std::string::npos) {
    const std::string login = authority.substr(0, at);
    const size_t colon = login.find(':');
    const auto user = PercentDecode(login.substr(0, colon));
    const auto password =
        PercentDecode(colon == std::string::npos ? std::string() : login.substr(colon + 1));
    if (!user || !password) {
      return Error::InvalidArgument("the user in the address is not percent-encoded");
    }
    options.user = *user;
    options.password = *password;
    address.erase(host + 3, at + 1);
  }
  return std::shared_ptr<Upstream>(std::make_shared<HttpUpstream>(address, std::move(options)));
}

}  // namespace penstock::cachefs
