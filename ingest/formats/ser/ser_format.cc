#include "ingest/formats/ser/ser_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/ser/emi_object.h"
#include "ingest/formats/ser/ser_describe.h"
#include "ingest/formats/ser/ser_source.h"

namespace penstock::ingest {

namespace {

using ser::OpenedSeries;
using ser::SerSource;

constexpr size_t kMaxMembers = 4096;

bool StartsWith(std::span<const std::byte> head, std::string_view bytes) {
  return head.size() >= bytes.size() &&
         std::string_view(reinterpret_cast<const char*>(head.data()), bytes.size()) == bytes;
}

bool HasEmiExtension(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".emi" || extension == ".EMI";
}

Result<std::unique_ptr<FrameSource>> OpenSeries(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(path));
  OpenedSeries series;
  series.path = path;
  series.fd = std::move(file.fd);
  series.identity = file.identity;
  PENSTOCK_ASSIGN_OR_RETURN(series.header,
                            ser::ReadSeriesHeader(series.fd.get(), series.identity.size, path));
  if (series.header.element_kind == ser::kElementKindSpectra) {
    return Error::Unsupported("this series holds spectra; penstock ingests images")
        .In(path.string())
        .AtOffset(6)
        .Expected("elements of kind 0x4122 (images)")
        .Found(fmt::format("{} elements of kind 0x4120 (spectra)", series.header.total_elements))
        .Advice("the images of the same acquisition are in another _<number>.ser file");
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      series.index,
      ser::BuildElementIndex(series.fd.get(), series.identity.size, series.header, path));
  PENSTOCK_ASSIGN_OR_RETURN(SourceDescription description, ser::DescribeSeries(series));
  return std::unique_ptr<FrameSource>(
      std::make_unique<SerSource>(std::move(series), std::move(description)));
}

// The .ser files that belong to an .emi, by number.
Result<std::map<uint32_t, std::filesystem::path>> MembersOf(const std::filesystem::path& emi) {
  const std::filesystem::path folder =
      emi.has_parent_path() ? emi.parent_path() : std::filesystem::path(".");
  std::map<uint32_t, std::filesystem::path> members;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = ser::ParseSeriesName(entry->path().filename().string());
    if (!name || name->stem != emi.stem().string()) continue;
    members.emplace(name->number, entry->path());
    if (members.size() > kMaxMembers) {
      return Error::Unsupported(fmt::format("more than {} series for one EMI", kMaxMembers))
          .In(emi.string())
          .Advice("give the .ser file");
    }
  }
  if (error) {
    return Error::FromErrno(error.value(), "cannot list the folder").In(folder.string());
  }
  return members;
}

Result<std::unique_ptr<FrameSource>> OpenEmi(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto members, MembersOf(path));
  if (members.empty()) {
    return Error::NotFound("the pixels of this EMI are missing")
        .In(path.string())
        .Expected(fmt::format("{}_1.ser beside it", path.stem().string()))
        .Found("no file of such a name")
        .Advice("copy the .ser files of the acquisition to the same folder");
  }
  std::vector<std::filesystem::path> with_images;
  std::string list;
  for (const auto& [number, member] : members) {
    std::string what;
    const Result<OpenedFile> file = OpenRegularFile(member);
    if (!file.ok()) {
      what = "cannot be opened";
    } else {
      const auto header = ser::ReadSeriesHeader(file->fd.get(), file->identity.size, member);
      if (!header.ok()) {
        what = "damaged";
      } else if (header->element_kind == ser::kElementKindSpectra) {
        what = fmt::format("{} spectra", header->valid_elements);
      } else {
        what = fmt::format("{} images", header->valid_elements);
        with_images.push_back(member);
      }
    }
    list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", member.filename().string(), what);
  }
  if (with_images.size() == 1) return OpenSeries(with_images.front());
  if (with_images.empty()) {
    return Error::Unsupported("no series of this EMI holds images")
        .In(path.string())
        .Expected("a .ser file with images")
        .Found(list);
  }
  return Error::InvalidArgument("this EMI belongs to several series of images")
      .In(path.string())
      .Expected("one")
      .Found(list)
      .Advice("give the .ser file that you want");
}

class SerFormatImplementation final : public SourceFormat {
 public:
  std::string_view name() const override { return "ser"; }
  std::string_view description() const override { return "TIA series, SER with EMI (FEI)"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    using namespace std::string_view_literals;
    if (StartsWith(head, "\x49\x49\x97\x01"sv)) {
      return {Confidence::kYes, "starts with 49 49 97 01, the signature of a TIA series"};
    }
    if (StartsWith(head, "\x4d\x4d\x01\x97"sv) || StartsWith(head, "\x4d\x4d\x97\x01"sv)) {
      return {Confidence::kYes,
              "starts with 4d 4d, the byte order mark of a big-endian TIA series"};
    }
    if (HasEmiExtension(path) && ser::LooksLikeEmi(path)) {
      return {Confidence::kYes, "named .emi and holds an ObjectInfo block"};
    }
    return {};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& /*options*/) const override {
    return HasEmiExtension(path) ? OpenEmi(path) : OpenSeries(path);
  }
};

}  // namespace

const SourceFormat& SerFormat() {
  static const SerFormatImplementation kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
