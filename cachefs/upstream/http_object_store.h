// HttpObjectStore: what stores that are read over HTTP have in common. Files are objects that are
// read by ranges, each answer of one version: an answer that does not say which bytes of which
// version it holds, or holds others than were asked for, is an error and never data.
//
// Identity: the version of a file is its strong ETag, or else its Last-Modified and size. It is in
// st_ino (with the path) and in the nanoseconds of st_ctim, so a file that has changed has another
// identity. A server that gives neither ETag nor Last-Modified is refused (kUnsupported), because
// changes could not be noticed. Owner is root, modes are 0444 and 0555: HTTP knows no others.
//
// An opened file remembers its version: once the server has another one, reads fail with ESTALE.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_HTTP_OBJECT_STORE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_HTTP_OBJECT_STORE_H_

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "cachefs/upstream/http_client.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct HttpObject {
  struct stat status {};
  std::string etag;  // "" where there is no strong one
};

class HttpObjectStore : public SimpleUpstream,
                        public std::enable_shared_from_this<HttpObjectStore> {
 public:
  Result<std::string> ReadLink(const std::string& path) override;
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override;
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override;
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override;
  // Unknown; an error where the store is away.
  Result<UpstreamSpace> Space() override;
  std::string Name() const override { return name_; }

 protected:
  using Deadline = HttpClient::Clock::time_point;

  // `name`: the address without secrets.
  HttpObjectStore(std::string name, HttpClientOptions options);

  // A GET of the file, with all but the range.
  virtual HttpRequest RequestFor(const std::string& path) const = 0;
  // The error of an answer that is none of 200, 206, 412 and 416. kNotFound only where the store
  // itself is there.
  virtual Error Explain(const HttpResponse& response, const std::string& path,
                        Deadline deadline) = 0;
  virtual Result<HttpObject> Describe(const std::string& path, Deadline deadline) = 0;

  // HEAD, or what serves instead of it where the server knows no HEAD or gives no length: the
  // answer has a Content-Length then.
  Result<HttpResponse> Head(const std::string& path, Deadline deadline);
  Result<HttpObject> ObjectOf(const HttpResponse& response, uint64_t size,
                              const std::string& path) const;
  // The same from what a listing says; "" for what it does not say.
  Result<HttpObject> ObjectOf(const std::string& etag, const std::string& modified, uint64_t size,
                              const std::string& path) const;
  HttpObject Directory(const std::string& path) const;
  uint64_t InodeOf(const std::string& path, const std::string& version) const;
  std::string FullName(const std::string& path) const;

  HttpClient client_;

 private:
  class OpenedObject;
  // What a read holds the answer against; nothing where any version will do.
  struct Expectation {
    std::string etag;
    std::optional<FileIdentity> identity;
  };

  Result<size_t> ReadRange(const std::string& path, uint64_t offset,
                           std::span<std::byte> destination, const Expectation& expectation);
  // Nothing where it is worth asking again, unless that `is_last`.
  Result<std::optional<size_t>> ReadRangeOnce(const std::string& path, uint64_t offset,
                                              std::span<std::byte> destination,
                                              const Expectation& expectation, bool is_last,
                                              Deadline deadline);
  Status CheckVersion(const HttpResponse& response, uint64_t size, const std::string& path,
                      const Expectation& expectation) const;
  Result<std::optional<size_t>> ReadAtTheEnd(const HttpResponse& response, const std::string& path,
                                             uint64_t offset, const Expectation& expectation,
                                             bool is_last, Deadline deadline);

  const std::string name_;
  const uint64_t device_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_HTTP_OBJECT_STORE_H_
