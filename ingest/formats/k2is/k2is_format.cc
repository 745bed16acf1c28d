#include "ingest/formats/k2is/k2is_format.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "ingest/formats/gatan_tags/tag_tree.h"
#include "ingest/formats/k2is/k2is_source.h"

namespace penstock::ingest {

namespace {

using namespace k2is;

bool HasExtension(const std::filesystem::path& path, std::string_view wanted) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == wanted;
}

class K2isFormatImplementation final : public SourceFormat {
 public:
  std::string_view name() const override { return "k2is"; }
  std::string_view description() const override { return "Gatan K2 IS raw (.gtg, .bin)"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    if (ParseBlockHeader(head)) {
      return {Confidence::kYes, "starts with the block header of a K2 IS sector (ff ff 00 55)"};
    }
    if (HasExtension(path, ".gtg") && gatan::LooksLikeTagFile(head)) {
      return {Confidence::kYes, "a Gatan tag file named .gtg"};
    }
    if (!HasExtension(path, ".bin")) return {};
    // A file may begin inside a block: then the first header is confirmed by a second.
    const auto fd = OpenFile(path, O_RDONLY);
    if (!fd.ok()) return {};
    std::vector<std::byte> bytes(2 * kBlockBytes + kHeaderBytes);
    const auto count = ReadSome(fd->get(), 0, bytes, path);
    if (!count.ok()) return {};
    const auto first = FindFirstBlock(std::span(bytes).first(*count), *count < bytes.size());
    if (!first) return {};
    return {Confidence::kYes,
            fmt::format("two block headers of a K2 IS sector (ff ff 00 55), the first at byte {}",
                        *first)};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    PENSTOCK_ASSIGN_OR_RETURN(auto source, K2isSource::Open(path, options.rescue));
    return std::unique_ptr<FrameSource>(std::move(source));
  }
};

}  // namespace

const SourceFormat& K2isFormat() {
  static const K2isFormatImplementation kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
