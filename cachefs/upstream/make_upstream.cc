#include <utility>

#include "cachefs/upstream/http_client.h"
#include "cachefs/upstream/http_upstream.h"
#include "cachefs/upstream/s3_credentials.h"
#include "cachefs/upstream/s3_upstream.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

namespace {

constexpr std::string_view kSchemeEnd = "://";

}  // namespace

bool IsStoreAddress(const std::string& store) {
  const size_t end = store.find(kSchemeEnd);
  return end != std::string::npos && end > 0 && store.find('/') > end;
}

std::string WithoutSecrets(const std::string& store) {
  if (!IsStoreAddress(store)) return store;
  const size_t host = store.find(kSchemeEnd) + kSchemeEnd.size();
  const size_t at = store.substr(0, store.find('/', host)).rfind('@');
  if (at == std::string::npos || at < host) return store;
  return store.substr(0, host) + store.substr(at + 1);
}

Result<std::shared_ptr<Upstream>> MakeUpstream(const std::string& store,
                                               const UpstreamOptions& options) {
  if (!IsStoreAddress(store)) return MakeDirectoryUpstream(store);
  HttpClientOptions client{.timeout = options.timeout,
                           .certificate_authorities = options.tls_authorities,
                           .certificate = options.tls_certificate,
                           .key = options.tls_key};
  const std::string scheme = store.substr(0, store.find(kSchemeEnd));
  if (scheme == "http" || scheme == "https") return MakeHttpUpstream(store, std::move(client));
  if (scheme == "s3") {
    return MakeS3Upstream(store, FindS3Endpoint(options.s3_endpoint),
                          FindS3Region(options.s3_region), std::move(client));
  }
  return Error::InvalidArgument("no such kind of store")
      .In(store)
      .Expected("a directory, http://, https:// or s3://")
      .Found(scheme + "://");
}

}  // namespace penstock::cachefs
