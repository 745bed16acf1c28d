// The XML that S3 answers with. No function here touches the network.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_S3_LISTING_H_
#define PENSTOCK_CACHEFS_UPSTREAM_S3_LISTING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::cachefs {

// What a listing says of an object; nothing, or "", where it does not.
struct S3Listed {
  std::optional<uint64_t> size;
  std::string etag;      // with its quotes
  std::string modified;  // a date for ParseHttpDate
};

// One page of ListObjectsV2. Keys are whole, and decoded where the answer says that they are
// encoded.
struct S3Page {
  std::vector<std::string> keys;
  std::vector<S3Listed> objects;      // of the keys, in their order
  std::vector<std::string> prefixes;  // of CommonPrefixes, with the delimiter at the end
  std::string next;                   // continuation token; "" on the last page
};

Result<S3Page> ParseS3Page(const std::string& xml);

// <Error><Code>...</Code><Message>...</Message></Error>; empty where the text is something else.
struct S3Failure {
  std::string code;
  std::string message;
};
S3Failure ParseS3Failure(const std::string& xml);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_S3_LISTING_H_
