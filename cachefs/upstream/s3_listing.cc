#include "cachefs/upstream/s3_listing.h"

#include <algorithm>
#include <pugixml.hpp>
#include <string_view>
#include <utility>

#include "cachefs/upstream/http_values.h"

namespace penstock::cachefs {

namespace {

Error NoListing(std::string found) {
  return Error(ErrorKind::kIo, "the answer is no listing of a bucket").Found(std::move(found));
}

}  // namespace

Result<S3Page> ParseS3Page(const std::string& xml) {
  pugi::xml_document document;
  // Spaces at the ends of keys count.
  const auto parsed = document.load_buffer(xml.data(), xml.size(),
                                           pugi::parse_default | pugi::parse_ws_pcdata_single);
  if (!parsed) return NoListing(parsed.description());
  const pugi::xml_node root = document.child("ListBucketResult");
  if (!root) return NoListing(document.first_child().name());
  const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
  const auto decode = [encoded](const char* value) -> Result<std::string> {
    std::string text = value;
    if (!encoded) return text;
    std::replace(text.begin(), text.end(), '+', ' ');
    auto decoded = PercentDecode(text);
    if (!decoded) return NoListing("a key that is wrongly encoded: " + text);
    return *std::move(decoded);
  };
  S3Page page;
  for (const pugi::xml_node& object : root.children("Contents")) {
    PENSTOCK_ASSIGN_OR_RETURN(std::string key, decode(object.child_value("Key")));
    page.keys.push_back(std::move(key));
    page.objects.push_back({.size = ParseDecimal(object.child_value("Size")),
                            .etag = object.child_value("ETag"),
                            .modified = object.child_value("LastModified")});
  }
  for (const pugi::xml_node& common : root.children("CommonPrefixes")) {
    PENSTOCK_ASSIGN_OR_RETURN(std::string prefix, decode(common.child_value("Prefix")));
    page.prefixes.push_back(std::move(prefix));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    page.next = root.child_value("NextContinuationToken");
    if (page.next.empty()) return NoListing("a page without the token of the next one");
  }
  return page;
}

S3Failure ParseS3Failure(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  pugi::xml_node error = document.child("Error");
  if (!error) error = document.child("ErrorResponse").child("Error");
  return {.code = error.child_value("Code"), .message = error.child_value("Message")};
}

}  // namespace penstock::cachefs
