#include "ingest/formats/hdf5/hdf5_format.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>

#include "ingest/formats/hdf5/dresses.h"
#include "ingest/formats/hdf5/rehearsal.h"

namespace penstock::ingest {

namespace {

using hdf5::Dress;
using Select = Result<hdf5::Selection> (*)(const hdf5::Object&, const std::string&);

// The signature may stand behind a block of the user's own.
bool LooksLikeHdf5(const std::filesystem::path& path, std::span<const std::byte> head) {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  const auto at = [&](size_t offset) {
    return head.size() >= offset + kSignature.size() &&
           std::memcmp(head.data() + offset, kSignature.data(), kSignature.size()) == 0;
  };
  if (at(0)) return true;
  // Anything else that begins like a text or another format is not searched beyond its head.
  for (const size_t offset : {512, 1024, 2048}) {
    if (at(offset)) return true;
  }
  (void)path;
  return false;
}

// Detection asks every dress in turn about the same file.
struct Remembered {
  std::mutex mutex;
  FileIdentity identity;
  hdf5::Recognised recognised;
};

std::optional<hdf5::Recognised> RecogniseFile(const std::filesystem::path& path) {
  static Remembered remembered;
  const auto identity = IdentifyFile(path);
  if (!identity.ok()) return std::nullopt;
  const std::lock_guard lock(remembered.mutex);
  if (remembered.identity == *identity) return remembered.recognised;
  const Hdf5Session session;
  const auto look = [&path]() -> std::optional<hdf5::Recognised> {
    auto container = hdf5::Container::Open(path);
    if (!container.ok()) return std::nullopt;
    const auto root = hdf5::Object::Root(*container);
    if (!root.ok()) return std::nullopt;
    return hdf5::Recognise(*root);
  };
  if (!hdf5::Rehearse(path, "recognise", [&look] { (void)look(); }).ok()) return std::nullopt;
  const auto recognised = look();
  if (!recognised) return std::nullopt;
  remembered.recognised = *recognised;
  remembered.identity = *identity;
  return remembered.recognised;
}

class DressFormat final : public SourceFormat {
 public:
  DressFormat(Dress dress, std::string_view name, std::string_view description, Select select)
      : dress_(dress), name_(name), description_(description), select_(select) {}

  std::string_view name() const override { return name_; }
  std::string_view description() const override { return description_; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    if (!LooksLikeHdf5(path, head)) return {};
    const auto recognised = RecogniseFile(path);
    if (!recognised) {
      // The plain format says what is wrong with the file.
      if (dress_ != Dress::kPlain) return {};
      return {Confidence::kYes, "the HDF5 signature"};
    }
    if (recognised->dress != dress_) return {};
    return {Confidence::kYes, "an HDF5 file; " + recognised->evidence};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    const Hdf5Session session;
    PENSTOCK_RETURN_IF_ERROR(
        hdf5::Rehearse(path, std::string(name_) + ' ' + options.dataset_path,
                       [this, &path, &options] { (void)OpenHere(path, options); }));
    return OpenHere(path, options);
  }

 private:
  Result<std::unique_ptr<FrameSource>> OpenHere(const std::filesystem::path& path,
                                                const OpenOptions& options) const {
    PENSTOCK_ASSIGN_OR_RETURN(const auto container, hdf5::Container::Open(path));
    PENSTOCK_ASSIGN_OR_RETURN(const hdf5::Object root, hdf5::Object::Root(container));
    auto selection = select_(root, options.dataset_path);
    if (!selection.ok()) return std::move(selection).error();
    return hdf5::MakeSource(name_, container, std::move(selection).value());
  }

  const Dress dress_;
  const std::string_view name_;
  const std::string_view description_;
  const Select select_;
};

}  // namespace

const SourceFormat& HspyFormat() {
  static const DressFormat kFormat(Dress::kHspy, "hspy", "HyperSpy (HDF5)", hdf5::SelectHspy);
  return kFormat;
}

const SourceFormat& VeloxFormat() {
  static const DressFormat kFormat(Dress::kVelox, "velox", "Velox EMD (Thermo Fisher)",
                                   hdf5::SelectVelox);
  return kFormat;
}

const SourceFormat& Py4dstemFormat() {
  static const DressFormat kFormat(Dress::kPy4dstem, "py4dstem", "py4DSTEM and EMD 1.0 (HDF5)",
                                   hdf5::SelectPy4dstem);
  return kFormat;
}

const SourceFormat& EmdFormat() {
  static const DressFormat kFormat(Dress::kEmd, "emd", "EMD Berkeley: NCEM, Prismatic, fpd (HDF5)",
                                   hdf5::SelectEmd);
  return kFormat;
}

const SourceFormat& DectrisFormat() {
  static const DressFormat kFormat(Dress::kDectris, "dectris", "Dectris master file (HDF5)",
                                   hdf5::SelectDectris);
  return kFormat;
}

const SourceFormat& NexusFormat() {
  static const DressFormat kFormat(Dress::kNexus, "nexus", "NeXus (HDF5)", hdf5::SelectNexus);
  return kFormat;
}

const SourceFormat& Hdf5Format() {
  static const DressFormat kFormat(Dress::kPlain, "hdf5", "any HDF5 dataset, see --dataset-path",
                                   hdf5::SelectPlain);
  return kFormat;
}

}  // namespace penstock::ingest
