#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

Result<uint64_t> SimpleUpstreamFile::Seek(uint64_t /*offset*/, int /*whence*/) {
  return Error::Unsupported("the store does not tell where its files have holes");
}

std::vector<std::optional<struct stat>> SimpleUpstream::StatEntries(
    const std::string& /*directory*/, std::span<const char* const> /*names*/) {
  return {};
}

Result<std::vector<std::string>> SimpleUpstream::AttributeNames(const std::string& /*path*/) {
  return std::vector<std::string>();
}

Result<std::optional<std::string>> SimpleUpstream::Attribute(const std::string& /*path*/,
                                                             const std::string& /*name*/) {
  return std::optional<std::string>();
}

void SimpleUpstream::Keep(const std::string& /*path*/, const struct stat& /*status*/,
                          std::string_view /*contents*/) {}

}  // namespace penstock::cachefs
