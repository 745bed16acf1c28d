#include "ingest/known_signatures.h"

#include <cstdint>
#include <string>

namespace penstock::ingest {

namespace {

constexpr std::string_view kNotYet = "this version does not read it yet";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool IsFrms6(std::string_view head) {
  return head.size() >= 8 && StartsWith(head, std::string_view("\x00\x04\x40\x00", 4)) &&
         head[7] == 6;
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
constexpr KnownSignature kHdf5 = {"an HDF5 file (NeXus, HyperSpy, EMD, py4DSTEM, Dectris, ...)",
                                  "the HDF5 signature", kNotYet};
constexpr KnownSignature kBlo = {"a NanoMegas BLO file", "starts with 'IMGBLO'", kNotYet};
constexpr KnownSignature kFrms6 = {"a PNDetector FRMS6 file", "an FRMS6 file header", kNotYet};
constexpr KnownSignature kFrms6Header = {"the header file of an FRMS6 acquisition",
                                         "starts with '[measurementInfo]'", kNotYet};
constexpr KnownSignature kK2 = {"a Gatan K2 IS sector file", "a K2 block header (ff ff 00 55)",
                                kNotYet};
constexpr KnownSignature kGatanTags = {"a Gatan tag file (DM3, DM4 or the .gtg of a K2 IS series)",
                                       "the version number 3 or 4 of a tag file", kNotYet};
constexpr KnownSignature kEmpad = {"the XML description of an EMPAD acquisition",
                                   "an XML root element with raw_file", kNotYet};

}  // namespace

const KnownSignature* FindKnownSignature(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (StartsWith(head, "\x89HDF\r\n\x1a\n")) return &kHdf5;
  if (StartsWith(head, "MPX,")) return &kMerlinLive;
  if (StartsWith(head, "IMGBLO")) return &kBlo;
  if (IsFrms6(head)) return &kFrms6;
  if (StartsWith(head, std::string_view("\xff\xff\x00\x55", 4))) return &kK2;
  if (StartsWith(head, "HDR")) return &kMerlinHeader;
  if (StartsWith(head, "[measurementInfo]")) return &kFrms6Header;
  if (StartsWith(head, "<") && head.find("raw_file") != std::string_view::npos) return &kEmpad;
  if (IsGatanTagFile(head)) return &kGatanTags;
  return nullptr;
}

}  // namespace penstock::ingest
