// AWS Signature Version 4 for requests without a body, as S3 wants it: the path is signed as it is
// sent. No function here touches the network. Thread-safe.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_S3_SIGNATURE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_S3_SIGNATURE_H_

#include <ctime>
#include <map>
#include <string>

namespace penstock::cachefs {

struct S3Credentials {
  std::string access_key = {};  // "": requests are not signed
  std::string secret_key = {};
  std::string session_token = {};
};

struct S3RequestToSign {
  std::string method;  // "GET", "HEAD"
  std::string path;    // percent-encoded, with the bucket where it is in it
  std::map<std::string, std::string> query = {};  // not encoded
  // Names in lower case, with "host"; x-amz-date, x-amz-content-sha256 and x-amz-security-token are
  // added.
  std::map<std::string, std::string> headers;
  std::string region;
  std::time_t time = 0;
};

// "name=value&..." percent-encoded and in the order of the names: of the URL, and as it is signed.
std::string EncodeQuery(const std::map<std::string, std::string>& query);

// The headers to be sent, those of the request but host included, with "authorization".
std::map<std::string, std::string> SignS3Request(const S3Credentials& credentials,
                                                 const S3RequestToSign& request);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_S3_SIGNATURE_H_
