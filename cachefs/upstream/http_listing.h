// Directory listings of HTTP servers. No function here touches the network.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_HTTP_LISTING_H_
#define PENSTOCK_CACHEFS_UPSTREAM_HTTP_LISTING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct JsonListing {
  struct Attributes {
    std::optional<uint64_t> size;
    std::string modified;  // a date for ParseHttpDate; "" where it does not say
  };
  std::vector<DirectoryEntry> entries;  // their inodes are left 0
  std::vector<Attributes> attributes;   // in their order
};

// What `autoindex_format json` of nginx gives.
Result<JsonListing> ParseJsonListing(const std::string& text);

// The links of a page that name something directly below it, as the listings of nginx, Apache,
// lighttpd, Caddy and Python have them. `directory`: the path of the page on its server, decoded,
// with '/' at both ends; links may repeat it. Links to anywhere else are left out.
std::vector<DirectoryEntry> ParseHtmlListing(std::string_view text, const std::string& directory);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_HTTP_LISTING_H_
