#include "penstock/ingest/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cctype>
#include <vector>

#include "ingest/formats/mib/mib_format.h"
#include "ingest/formats/npy/npy_format.h"
#include "ingest/formats/raw/raw_format.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/ser/ser_format.h"
#include "ingest/known_signatures.h"

namespace penstock::ingest {

namespace {

constexpr size_t kHeadBytes = 4096;

struct Head {
  std::array<std::byte, kHeadBytes> bytes;
  size_t size = 0;
  std::span<const std::byte> span() const { return std::span(bytes).first(size); }
};

Status ReadHead(const std::filesystem::path& path, Head& head) {
  PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path));
  if (file.identity.size == 0) {
    return Error::Corrupt("the file is empty")
        .In(path.string())
        .Expected("a detector file")
        .Found("0 bytes")
        .Advice("check whether the acquisition was written and the file copied completely");
  }
  PENSTOCK_ASSIGN_OR_RETURN(head.size, ReadSome(file.fd.get(), 0, head.bytes, path));
  return Status::Ok();
}

std::string FirstBytes(std::span<const std::byte> head) {
  std::string hexadecimal;
  std::string text;
  for (const std::byte byte : head.first(std::min<size_t>(head.size(), 16))) {
    const auto value = std::to_integer<unsigned char>(byte);
    hexadecimal += fmt::format("{}{:02x}", hexadecimal.empty() ? "" : " ", value);
    text += std::isprint(value) != 0 ? static_cast<char>(value) : '.';
  }
  return fmt::format("{} '{}'", hexadecimal, text);
}

struct Detected {
  const SourceFormat* format = nullptr;
  std::string evidence;
};

Result<Detected> Detect(const std::filesystem::path& path) {
  Head head;
  PENSTOCK_RETURN_IF_ERROR(ReadHead(path, head));
  Detected possible;
  for (const SourceFormat* format : AllFormats()) {
    Detection detection = format->Detect(path, head.span());
    if (detection.confidence == Confidence::kYes) {
      return Detected{format, std::move(detection.evidence)};
    }
    if (detection.confidence == Confidence::kMaybe && possible.format == nullptr) {
      possible = {format, std::move(detection.evidence)};
    }
  }
  if (possible.format != nullptr) return possible;

  if (const KnownSignature* known = FindKnownSignature(head.span())) {
    return Error::Unsupported(fmt::format("this is {}", known->what))
        .In(path.string())
        .Expected("a format that this version reads")
        .Found(std::string(known->evidence))
        .Advice(std::string(known->advice));
  }
  return Error::Unsupported("the format is not recognised by its content")
      .In(path.string())
      .AtOffset(0)
      .Expected("the signature of a format that this version reads")
      .Found(FirstBytes(head.span()))
      .Advice("for a raw file give --format raw with --sig-shape and --dtype");
}

}  // namespace

std::span<const SourceFormat* const> AllFormats() {
  // In order of detection; a new format is one line here.
  static const std::array kFormats = {
      &MibFormat(),
      &SerFormat(),
      &NpyFormat(),
      &RawFormat(),
  };
  return kFormats;
}

Result<const SourceFormat*> FindFormat(std::string_view name) {
  std::vector<std::string_view> names;
  for (const SourceFormat* format : AllFormats()) {
    if (format->name() == name) return format;
    names.push_back(format->name());
  }
  return Error::InvalidArgument(fmt::format("there is no format '{}'", name))
      .Expected(fmt::format("one of {}", fmt::join(names, ", ")));
}

Result<const SourceFormat*> DetectFormat(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const Detected detected, Detect(path));
  return detected.format;
}

Result<std::string> DetectionEvidence(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(Detected detected, Detect(path));
  return std::move(detected.evidence);
}

Result<std::unique_ptr<FrameSource>> OpenSource(const std::filesystem::path& path,
                                                std::string_view format,
                                                const OpenOptions& options) {
  if (!format.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const SourceFormat* const chosen, FindFormat(format));
    return chosen->Open(path, options);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const SourceFormat* const detected, DetectFormat(path));
  return detected->Open(path, options);
}

}  // namespace penstock::ingest
