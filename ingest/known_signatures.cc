#include "ingest/known_signatures.h"

#include <cstdint>
#include <string>

namespace penstock::ingest {

namespace {

constexpr std::string_view kNotYet = "this version does not read it yet";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Version 3 or 4 as a big-endian number; the tag structure is checked by a real reader only.
bool IsGatanTagFile(std::string_view head) {
  return head.size() >= 16 && (StartsWith(head, std::string_view("\x00\x00\x00\x03", 4)) ||
                               StartsWith(head, std::string_view("\x00\x00\x00\x04", 4)));
}

constexpr KnownSignature kMerlinLive = {
    "a dump of Merlin's live data stream, not a MIB file", "starts with 'MPX,'",
    "save the acquisition as .mib, or strip the 'MPX,' network headers with the program that wrote "
    "it"};
constexpr KnownSignature kMerlinHeader = {"the header file of a Merlin acquisition",
                                          "starts with 'HDR'",
                                          "give the .mib file; the .hdr beside it is read with it"};
constexpr KnownSignature kK2 = {"a Gatan K2 IS sector file", "a K2 block header (ff ff 00 55)",
                                kNotYet};
constexpr KnownSignature kGatanTags = {"a Gatan tag file (DM3, DM4 or the .gtg of a K2 IS series)",
                                       "the version number 3 or 4 of a tag file", kNotYet};

// A ZIP file whose first names are those of Zarr's metadata.
bool IsZippedZarr(std::string_view head) {
  if (!StartsWith(head, "PK\x03\x04")) return false;
  for (const char* name : {"zarr.json", ".zgroup", ".zarray", ".zattrs"}) {
    if (head.find(name) != std::string_view::npos) return true;
  }
  return false;
}

constexpr KnownSignature kZippedZarr = {"a Zarr store in a ZIP file",
                                        "a ZIP file with zarr.json, .zgroup or .zarray",
                                        "unpack it and give the folder"};

}  // namespace

const KnownSignature* FindKnownSignature(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (StartsWith(head, "MPX,")) return &kMerlinLive;
  if (StartsWith(head, std::string_view("\xff\xff\x00\x55", 4))) return &kK2;
  if (StartsWith(head, "HDR")) return &kMerlinHeader;
  if (IsGatanTagFile(head)) return &kGatanTags;
  if (IsZippedZarr(head)) return &kZippedZarr;
  return nullptr;
}

}  // namespace penstock::ingest
