// A store in a bucket of S3: objects are files, prefixes up to a '/' are directories. Where an
// object and a prefix have the same name, the object is shown. Objects whose keys no path can name
// (empty or "." or ".." between slashes) are not shown.
//
// Requests are signed (s3_signature.h); redirects are not followed, as a signature holds for one
// host.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_S3_UPSTREAM_H_
#define PENSTOCK_CACHEFS_UPSTREAM_S3_UPSTREAM_H_

#include <memory>
#include <string>

#include "cachefs/upstream/http_client.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// `address`: "s3://BUCKET[/PREFIX]". `endpoint`: "http(s)://HOST[:PORT][/PATH]", by which buckets
// are parts of the path, or "" for AWS, where they are parts of the host name.
Result<std::shared_ptr<Upstream>> MakeS3Upstream(const std::string& address,
                                                 const std::string& endpoint,
                                                 const std::string& region,
                                                 HttpClientOptions options);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_S3_UPSTREAM_H_
