// A store behind a web server: GET with ranges, HEAD, and directory listings where the server gives
// them (nginx autoindex in JSON, pages of links). Where it gives none, files are reached by their
// paths all the same.
//
// A path that the server does not know is looked for as a directory, too ("path/"). Whether it is
// the store that is missing is seen by the root: once that has answered, it must go on to.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_HTTP_UPSTREAM_H_
#define PENSTOCK_CACHEFS_UPSTREAM_HTTP_UPSTREAM_H_

#include <memory>
#include <string>

#include "cachefs/upstream/http_client.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// `base`: "http(s)://host[:port][/path]" with the path percent-encoded; "USER:PASSWORD@" before the
// host is taken out of it and sent as basic authentication.
Result<std::shared_ptr<Upstream>> MakeHttpUpstream(const std::string& base,
                                                   HttpClientOptions options);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_HTTP_UPSTREAM_H_
