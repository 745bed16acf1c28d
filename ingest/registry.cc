#include "penstock/ingest/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cctype>
#include <vector>

#include "ingest/formats/blo/blo_format.h"
#include "ingest/formats/dm/dm_format.h"
#include "ingest/formats/empad/empad_format.h"
#include "ingest/formats/frms6/frms6_format.h"
#include "ingest/formats/hdf5/hdf5_format.h"
#include "ingest/formats/k2is/k2is_format.h"
#include "ingest/formats/mib/mib_format.h"
#include "ingest/formats/mrc/mrc_format.h"
#include "ingest/formats/npy/npy_format.h"
#include "ingest/formats/raw/raw_format.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/seq/seq_format.h"
#include "ingest/formats/ser/ser_format.h"
#include "ingest/formats/tvips/tvips_format.h"
#include "ingest/formats/zarr/zarr_format.h"
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

// The first format that is certain, else the first that thinks it possible; null format: none.
DetectedFormat AskFormats(const std::filesystem::path& path, std::span<const std::byte> head) {
  DetectedFormat possible;
  for (const SourceFormat* format : AllFormats()) {
    Detection detection = format->Detect(path, head);
    if (detection.confidence == Confidence::kNo) continue;
    DetectedFormat detected{format, detection.confidence, std::move(detection.evidence)};
    if (detected.confidence == Confidence::kYes) return detected;
    if (possible.format == nullptr) possible = std::move(detected);
  }
  return possible;
}

}  // namespace

Result<DetectedFormat> DetectSource(const std::filesystem::path& path) {
  std::error_code problem;
  if (std::filesystem::is_directory(path, problem)) {
    DetectedFormat detected = AskFormats(path, {});
    if (detected.format != nullptr) return detected;
    return Error::Unsupported("this directory is not one that a format stores its data in")
        .In(path.string())
        .Expected("a detector file")
        .Found("a directory")
        .Advice("'penstock ingest FOLDER --to STORE/' takes every acquisition in a folder");
  }
  Head head;
  PENSTOCK_RETURN_IF_ERROR(ReadHead(path, head));
  DetectedFormat detected = AskFormats(path, head.span());
  if (detected.format != nullptr) return detected;

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

std::span<const SourceFormat* const> AllFormats() {
  // In order of detection; a new format is one line here.
  static const std::array kFormats = {
      &MibFormat(),     &SerFormat(),   &BloFormat(),   &EmpadFormat(),    &Frms6Format(),
      &MrcFormat(),     &SeqFormat(),   &TvipsFormat(), &K2isFormat(),     &DmFormat(),
      &NpyFormat(),     &HspyFormat(),  &VeloxFormat(), &Py4dstemFormat(), &EmdFormat(),
      &DectrisFormat(), &NexusFormat(), &Hdf5Format(),  &ZarrFormat(),     &RawFormat(),
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
  PENSTOCK_ASSIGN_OR_RETURN(const DetectedFormat detected, DetectSource(path));
  return detected.format;
}

Result<std::string> DetectionEvidence(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(DetectedFormat detected, DetectSource(path));
  return std::move(detected.evidence);
}

Result<std::unique_ptr<FrameSource>> OpenSource(const std::filesystem::path& path,
                                                std::string_view format,
                                                const OpenOptions& options) {
  const SourceFormat* chosen = nullptr;
  if (format.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(chosen, DetectFormat(path));
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(chosen, FindFormat(format));
  }
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<FrameSource> source, chosen->Open(path, options));
  const bool correct = options.subtract_dark || !options.gain_file.empty();
  if (correct && source->description().corrections.empty()) {
    return Error::InvalidArgument("there is nothing to correct in this source")
        .In(path.string())
        .Expected("a format with dark or gain references (frms6, seq)")
        .Found(std::string(chosen->name()))
        .Advice("leave out --subtract-dark and --gain");
  }
  return source;
}

}  // namespace penstock::ingest
