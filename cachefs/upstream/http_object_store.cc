#include "cachefs/upstream/http_object_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cachefs/upstream/http_values.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

constexpr long kOk = 200;
constexpr long kPartialContent = 206;
constexpr long kPreconditionFailed = 412;
constexpr long kRangeNotSatisfiable = 416;
constexpr int kMostTries = 3;  // of a range that is refused although the file has it
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr blksize_t kPreferredRead = 1 << 20;
constexpr uint64_t kStatBlock = 512;

uint64_t HashText(const std::string& text) { return HashExtent(AsBytes(text)); }

bool KnowsNoHead(long status) { return status == 405 || status == 501; }

Error Changed(const std::string& name) {
  return Error::FromErrno(ESTALE, "the file has changed").In(name);
}

Error WrongAnswer(std::string what, const std::string& name) {
  return Error(ErrorKind::kIo, std::move(what)).In(name);
}

}  // namespace

class HttpObjectStore::OpenedObject final : public SimpleUpstreamFile {
 public:
  OpenedObject(std::shared_ptr<HttpObjectStore> store, std::string path, HttpObject object)
      : store_(std::move(store)), path_(std::move(path)), object_(std::move(object)) {}

  Result<struct stat> Stat() override { return object_.status; }

  Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
    if (S_ISDIR(object_.status.st_mode)) {
      return Error::FromErrno(EISDIR, "cannot read").In(store_->FullName(path_));
    }
    return store_->ReadRange(path_, offset, destination,
                             {.etag = object_.etag, .identity = IdentityOf(object_.status)});
  }

 private:
  const std::shared_ptr<HttpObjectStore> store_;
  const std::string path_;
  const HttpObject object_;
};

HttpObjectStore::HttpObjectStore(std::string name, HttpClientOptions options)
    : client_(std::move(options)), name_(std::move(name)), device_(HashText(name_)) {}

std::string HttpObjectStore::FullName(const std::string& path) const {
  return path.empty() ? name_ : name_ + "/" + path;
}

uint64_t HttpObjectStore::InodeOf(const std::string& path, const std::string& version) const {
  const std::string text = path + '\0' + version;
  return std::max<uint64_t>(HashText(text), 1);
}

HttpObject HttpObjectStore::Directory(const std::string& path) const {
  HttpObject directory;
  directory.status.st_mode = S_IFDIR | 0555;
  directory.status.st_nlink = 2;
  directory.status.st_dev = device_;
  directory.status.st_ino = InodeOf(path, "");
  directory.status.st_blksize = kPreferredRead;
  return directory;
}

Result<HttpObject> HttpObjectStore::ObjectOf(const HttpResponse& response, uint64_t size,
                                             const std::string& path) const {
  return ObjectOf(response.Header("etag"), response.Header("last-modified"), size, path);
}

Result<HttpObject> HttpObjectStore::ObjectOf(const std::string& etag, const std::string& modified,
                                             uint64_t size, const std::string& path) const {
  const auto seconds = ParseHttpDate(modified);
  HttpObject object;
  if (IsStrongEtag(etag)) object.etag = etag;
  if (object.etag.empty() && !seconds) {
    return Error::Unsupported("the server gives neither a strong ETag nor Last-Modified")
        .In(FullName(path))
        .Advice("without them a file that changes cannot be noticed; configure the server to");
  }
  const std::string version =
      object.etag.empty() ? fmt::format("{} {}", *seconds, size) : object.etag;
  struct stat& status = object.status;
  status.st_mode = S_IFREG | 0444;
  status.st_nlink = 1;
  status.st_dev = device_;
  status.st_ino = InodeOf(path, version);
  status.st_size = static_cast<off_t>(size);
  status.st_blksize = kPreferredRead;
  status.st_blocks = static_cast<blkcnt_t>((size + kStatBlock - 1) / kStatBlock);
  status.st_mtim.tv_sec = seconds.value_or(0);
  status.st_ctim.tv_sec = status.st_mtim.tv_sec;
  status.st_ctim.tv_nsec = static_cast<int64_t>(HashText(version) % kNanosecondsPerSecond);
  return object;
}

Result<HttpResponse> HttpObjectStore::Head(const std::string& path, Deadline deadline) {
  HttpRequest request = RequestFor(path);
  request.method = HttpRequest::Method::kHead;
  PENSTOCK_ASSIGN_OR_RETURN(HttpResponse response, client_.Perform(request, deadline));
  const bool no_length = response.status == kOk && response.Header("content-length").empty() &&
                         !response.url.ends_with('/');
  if (!KnowsNoHead(response.status) && !no_length) return response;
  std::byte first{};
  request = RequestFor(path);
  request.headers.emplace_back("Range: bytes=0-0");
  request.destination = {&first, 1};
  PENSTOCK_ASSIGN_OR_RETURN(response, client_.Perform(request, deadline));
  if (response.status == kPartialContent || response.status == kRangeNotSatisfiable) {
    const auto range = ParseContentRange(response.Header("content-range"));
    if (!range) return WrongAnswer("the server tells no size", FullName(path));
    response.status = kOk;
    response.headers["content-length"] = std::to_string(range->total);
  }
  return response;
}

Result<std::string> HttpObjectStore::ReadLink(const std::string& path) {
  return Error::FromErrno(EINVAL, "not a symbolic link").In(FullName(path));
}

Result<size_t> HttpObjectStore::Read(const std::string& path, uint64_t offset,
                                     std::span<std::byte> destination) {
  return ReadRange(path, offset, destination, {});
}

Result<std::shared_ptr<UpstreamFile>> HttpObjectStore::Open(const std::string& path) {
  PENSTOCK_ASSIGN_OR_RETURN(HttpObject object, Describe(path, client_.Deadline()));
  return std::shared_ptr<UpstreamFile>(
      std::make_shared<OpenedObject>(shared_from_this(), path, std::move(object)));
}

Result<UpstreamSpace> HttpObjectStore::Space() {
  PENSTOCK_RETURN_IF_ERROR(Describe("", client_.Deadline()));
  return UpstreamSpace{};
}

Result<size_t> HttpObjectStore::ReadUnchanged(const std::string& path, const FileIdentity& identity,
                                              uint64_t offset, std::span<std::byte> destination) {
  // One answer is of one version, so nothing needs to be asked for before or after it.
  return ReadRange(path, offset, destination, {.etag = {}, .identity = identity});
}

Result<size_t> HttpObjectStore::ReadRange(const std::string& path, uint64_t offset,
                                          std::span<std::byte> destination,
                                          const Expectation& expectation) {
  if (destination.empty()) return size_t{0};
  const Deadline deadline = client_.Deadline();
  for (int tries = 1;; ++tries) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto read, ReadRangeOnce(path, offset, destination, expectation,
                                                             tries == kMostTries, deadline));
    if (read) return *read;
  }
}

Result<std::optional<size_t>> HttpObjectStore::ReadRangeOnce(const std::string& path,
                                                             uint64_t offset,
                                                             std::span<std::byte> destination,
                                                             const Expectation& expectation,
                                                             bool is_last, Deadline deadline) {
  HttpRequest request = RequestFor(path);
  request.headers.push_back(
      fmt::format("Range: bytes={}-{}", offset, offset + (destination.size() - 1)));
  if (!expectation.etag.empty()) request.headers.push_back("If-Match: " + expectation.etag);
  request.destination = destination;
  PENSTOCK_ASSIGN_OR_RETURN(const HttpResponse response, client_.Perform(request, deadline));

  const std::string name = FullName(path);
  const std::string encoding = response.Header("content-encoding");
  if (response.status == kPreconditionFailed) return Changed(name);
  if (response.status == kRangeNotSatisfiable) {
    return ReadAtTheEnd(response, path, offset, expectation, is_last, deadline);
  }
  if (response.status == kOk) {
    if (response.url.ends_with('/')) return Error::FromErrno(EISDIR, "cannot read").In(name);
    // Of an empty file there is no part to give.
    if (response.Header("content-length") != "0") {
      return WrongAnswer("the server sends whole files only, no ranges of them", name)
          .Expected("status 206")
          .Found("status 200");
    }
    PENSTOCK_RETURN_IF_ERROR(CheckVersion(response, 0, path, expectation));
    return std::optional<size_t>(0);
  }
  if (response.status != kPartialContent) return Explain(response, path, deadline);
  if (!encoding.empty() && encoding != "identity") {
    return WrongAnswer("the server sends the file encoded", name).Found(encoding);
  }
  const std::string said = response.Header("content-range");
  const auto range = ParseContentRange(said);
  const uint64_t wanted_end = offset + destination.size();
  if (!range || !range->has_range || range->first != offset ||
      range->last != std::min(wanted_end, range->total) - 1) {
    return WrongAnswer("the server sent another part than was asked for", name)
        .Expected(fmt::format("bytes {}-{}", offset, wanted_end - 1))
        .Found(said.empty() ? "no Content-Range" : said);
  }
  const uint64_t count = range->last - range->first + 1;
  if (response.received != count) {
    return WrongAnswer("the server sent another number of bytes than it said", name)
        .Expected(fmt::format("{} bytes", count))
        .Found(fmt::format("{}", response.received));
  }
  PENSTOCK_RETURN_IF_ERROR(CheckVersion(response, range->total, path, expectation));
  return std::optional<size_t>(count);
}

Status HttpObjectStore::CheckVersion(const HttpResponse& response, uint64_t size,
                                     const std::string& path,
                                     const Expectation& expectation) const {
  if (!expectation.identity) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const HttpObject found, ObjectOf(response, size, path));
  if (IdentityOf(found.status) == *expectation.identity) return {};
  return Changed(FullName(path));
}

Result<std::optional<size_t>> HttpObjectStore::ReadAtTheEnd(const HttpResponse& response,
                                                            const std::string& path,
                                                            uint64_t offset,
                                                            const Expectation& expectation,
                                                            bool is_last, Deadline deadline) {
  // Answers 416 need not name the version, nor the size.
  PENSTOCK_ASSIGN_OR_RETURN(const HttpObject now, Describe(path, deadline));
  if (expectation.identity && !(IdentityOf(now.status) == *expectation.identity)) {
    return Changed(FullName(path));
  }
  if (static_cast<uint64_t>(now.status.st_size) > offset) {
    if (!is_last) return std::optional<size_t>();  // it has grown since, or another server said so
    return WrongAnswer("the server refuses a part of the file", FullName(path))
        .Expected(fmt::format("bytes from {} of {}", offset, now.status.st_size))
        .Found(fmt::format("status {}", response.status));
  }
  return std::optional<size_t>(0);
}

}  // namespace penstock::cachefs
