// The small grammars of HTTP that an upstream needs: percent-encoding, Content-Range, dates, ETags.
// No function here touches the network. Thread-safe.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_HTTP_VALUES_H_
#define PENSTOCK_CACHEFS_UPSTREAM_HTTP_VALUES_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::cachefs {

// Everything but the unreserved characters of RFC 3986 becomes %XX, '/' only where `keep_slashes`.
std::string PercentEncode(std::string_view text, bool keep_slashes);
// nullopt where a '%' is not followed by two hexadecimal digits, or where a zero byte would come
// out.
std::optional<std::string> PercentDecode(std::string_view text);

// "bytes FIRST-LAST/TOTAL", or "bytes */TOTAL" of an answer 416 (has_range is false then).
struct ContentRange {
  bool has_range = false;
  uint64_t first = 0;
  uint64_t last = 0;   // inclusive
  uint64_t total = 0;  // of the whole file
};
// nullopt where it is something else; a range of an unknown total is refused, too.
std::optional<ContentRange> ParseContentRange(std::string_view text);

// Digits only, below 2^63.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// Seconds since 1970 of a date of HTTP ("Sun, 06 Nov 1994 08:49:37 GMT" or as RFC 3339,
// "1994-11-06T08:49:37.000Z").
std::optional<int64_t> ParseHttpDate(const std::string& text);

// Retry-After: seconds, or a date from which `now` (seconds since 1970) is subtracted.
std::optional<std::chrono::milliseconds> ParseRetryAfter(const std::string& text, int64_t now);

// A strong validator: quoted, not "W/...". Weak ones promise no equal bytes.
bool IsStrongEtag(std::string_view etag);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_HTTP_VALUES_H_
