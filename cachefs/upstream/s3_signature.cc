#include "cachefs/upstream/s3_signature.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <string_view>

#include "cachefs/upstream/http_values.h"

namespace penstock::cachefs {

namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";
// SHA-256 of nothing: no request here has a body.
constexpr char kEmptyPayload[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Hex(std::string_view bytes) {
  std::string digits;
  for (const char byte : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return digits;
}

std::string Sha256(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(Bytes(text), text.size(), digest);
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), digest,
       &length);
  return {reinterpret_cast<const char*>(digest), length};
}

std::string FormatTime(std::time_t time, const char* format) {
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

}  // namespace

std::string EncodeQuery(const std::map<std::string, std::string>& query) {
  std::string encoded;
  for (const auto& [name, value] : query) {
    if (!encoded.empty()) encoded.push_back('&');
    encoded += PercentEncode(name, false) + "=" + PercentEncode(value, false);
  }
  return encoded;
}

std::map<std::string, std::string> SignS3Request(const S3Credentials& credentials,
                                                 const S3RequestToSign& request) {
  std::map<std::string, std::string> headers = request.headers;
  const std::string time = FormatTime(request.time, "%Y%m%dT%H%M%SZ");
  headers["x-amz-date"] = time;
  headers["x-amz-content-sha256"] = kEmptyPayload;
  if (!credentials.session_token.empty()) {
    headers["x-amz-security-token"] = credentials.session_token;
  }

  std::string canonical_headers;
  std::string signed_names;
  for (const auto& [name, value] : headers) {
    canonical_headers += name + ":" + value + "\n";
    signed_names += (signed_names.empty() ? "" : ";") + name;
  }
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path,
                  EncodeQuery(request.query), canonical_headers, signed_names, kEmptyPayload);
  const std::string day = FormatTime(request.time, "%Y%m%d");
  const std::string scope = fmt::format("{}/{}/s3/aws4_request", day, request.region);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope, Hex(Sha256(canonical)));

  const std::string day_key = HmacSha256("AWS4" + credentials.secret_key, day);
  const std::string region_key = HmacSha256(day_key, request.region);
  const std::string service_key = HmacSha256(region_key, "s3");
  const std::string key = HmacSha256(service_key, "aws4_request");
  headers["authorization"] =
      fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                  credentials.access_key, scope, signed_names, Hex(HmacSha256(key, to_sign)));
  headers.erase("host");
  return headers;
}

}  // namespace penstock::cachefs
