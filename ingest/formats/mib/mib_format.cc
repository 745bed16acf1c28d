#include "ingest/formats/mib/mib_format.h"

#include <string_view>

#include "ingest/formats/mib/mib_frame_header.h"
#include "ingest/formats/mib/mib_source.h"

namespace penstock::ingest {

namespace {

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "mib"; }
  std::string_view description() const override { return "Merlin MIB (Quantum Detectors)"; }

  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> head) const override {
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    if (IsMerlinLiveDump(head)) {
      return {Confidence::kYes, "starts with 'MPX,': a dump of Merlin's live stream"};
    }
    if (text.starts_with("MQ1,")) {
      const bool is_header = MibHeaderBytes(head).ok();
      return {is_header ? Confidence::kYes : Confidence::kMaybe, "starts with 'MQ1,'"};
    }
    const std::string_view first_line = text.substr(0, text.find('\n'));
    if (first_line.starts_with("HDR")) {
      const bool is_merlin = first_line.starts_with("HDR,");
      return {is_merlin ? Confidence::kYes : Confidence::kMaybe, "first line starts with 'HDR'"};
    }
    return {};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    PENSTOCK_ASSIGN_OR_RETURN(auto source, MibSource::Open(path, options.this_file_only));
    return std::unique_ptr<FrameSource>(std::move(source));
  }
};

}  // namespace

const SourceFormat& MibFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
