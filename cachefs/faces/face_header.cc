#include "cachefs/faces/face_header.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "cachefs/faces/limits.h"
#include "cachefs/upstream/read_file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"
#include "penstock/dataset/dataset.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kChunkBytes = size_t{4} << 20;
// Arrays up to this are read as a whole, and are remembered by that for when the store is away.
constexpr uint64_t kMostAtOnce = uint64_t{32} << 20;

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

Error Replaced(const Face& face) {
  return Error::FromErrno(ESTALE, "the dataset has been replaced").In(face.dataset);
}

Error Damaged(const std::string& path, const std::string& expected, const std::string& found) {
  return Error::Corrupt("the file is damaged")
      .In(path)
      .Expected("XXH3-128 " + expected)
      .Found(found)
      .Advice("run penstock verify on the dataset in the store");
}

Error TooShort(const std::string& path, uint64_t expected, uint64_t found) {
  return Error::Corrupt("the file is too short")
      .In(path)
      .Expected(fmt::format("{} bytes", expected))
      .Found(fmt::format("{} bytes", found));
}

}  // namespace

Status FaceHeader::Read(uint64_t offset, std::span<std::byte> destination) const {
  if (file_.valid()) return ReadFully(file_.get(), offset, destination, "header of a face");
  std::copy_n(AsBytes(text_).begin() + static_cast<ptrdiff_t>(offset), destination.size(),
              destination.begin());
  return {};
}

uint64_t FaceHeader::memory_bytes() const {
  constexpr uint64_t kStatBlock = 512;
  if (!file_.valid()) return text_.size();
  struct stat status {};
  if (fstat(file_.get(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_blocks) * kStatBlock;  // what is zero takes nothing
}

Result<std::shared_ptr<const FaceHeader>> FaceHeaders::Get(const Face& face) {
  if (face.kind == FaceKind::kRaw) return std::make_shared<const FaceHeader>(std::string());
  if (face.kind == FaceKind::kNpy) {
    PENSTOCK_ASSIGN_OR_RETURN(std::string text, MakeNpyFaceHeader(face.layout.shape()));
    return std::make_shared<const FaceHeader>(std::move(text));
  }
  if (face.kind == FaceKind::kChecksumList) {
    const std::string path = Join(face.dataset, kChecksumListName);
    PENSTOCK_ASSIGN_OR_RETURN(const std::string text,
                              ReadUpstreamFile(*upstream_, path, kLargestChecksumList));
    PENSTOCK_ASSIGN_OR_RETURN(std::string shown, ChecksumsWithoutNexus(text, path));
    if (HashBytes(AsBytes(shown)) != face.generation) return Replaced(face);
    return std::make_shared<const FaceHeader>(std::move(shown));
  }
  const std::shared_ptr<Slot> slot = SlotOf(face.id);
  const std::lock_guard lock(slot->mutex);
  std::shared_ptr<const FaceHeader> header = slot->header.lock();
  if (!header) {
    const uint64_t in_use = BytesInUse();
    if (in_use >= limits_.most_bytes) {
      return Error(ErrorKind::kNoSpace,
                   "the headers of the files that are open take too much memory")
          .In(Join(face.dataset, kNexusFaceName))
          .Expected(fmt::format("less than {} bytes", limits_.most_bytes))
          .Found(fmt::format("{} bytes", in_use));
    }
    PENSTOCK_ASSIGN_OR_RETURN(header, MakeNexus(face));
    const std::lock_guard all(mutex_);
    slot->header = header;
  }
  Keep(header);
  return header;
}

Result<std::shared_ptr<const FaceHeader>> FaceHeaders::MakeNexus(const Face& face) {
  const std::string sidecar = Join(face.dataset, "nexus.json");
  const std::string list_path = Join(face.dataset, kChecksumListName);
  const auto sidecar_text = ReadUpstreamFile(*upstream_, sidecar, kLargestSidecar);
  if (!sidecar_text.ok()) {
    if (sidecar_text.error().kind() == ErrorKind::kNotFound) return Replaced(face);
    return sidecar_text.error();
  }
  const std::string& text = *sidecar_text;
  if (HashBytes(AsBytes(text)) != face.generation) return Replaced(face);
  const auto make = [&]() -> Result<FileDescriptor> {
    PENSTOCK_ASSIGN_OR_RETURN(const std::string list_text,
                              ReadUpstreamFile(*upstream_, list_path, kLargestChecksumList));
    PENSTOCK_ASSIGN_OR_RETURN(const ChecksumList list, ParseChecksumList(list_text, list_path));
    const auto digest_of = [&list](const std::string& path) {
      const auto found = list.find(path);
      return found == list.end() ? std::string("that checksums.xxh128 does not name")
                                 : found->second;
    };
    if (digest_of("nexus.json") != face.generation) {
      return Damaged(sidecar, digest_of("nexus.json"), face.generation);
    }
    PENSTOCK_ASSIGN_OR_RETURN(const Dataset dataset, Dataset::FromNexusJson(face.dataset, text));
    PENSTOCK_ASSIGN_OR_RETURN(NexusFaceHeader header,
                              MakeNexusFaceHeader(dataset.nexus(), dataset.shape()));
    for (const EmbeddedArray& array : header.arrays) {
      PENSTOCK_RETURN_IF_ERROR(FillIn(face, array, digest_of(array.path), header.file.get()));
    }
    return std::move(header.file);
  };
  Result<FileDescriptor> file = make();
  // What was read may be of two generations; then a difference is no damage.
  const auto again = ReadUpstreamFile(*upstream_, sidecar, kLargestSidecar);
  if (again.ok() && *again != text) return Replaced(face);
  if (file.ok()) return std::make_shared<const FaceHeader>(*std::move(file));
  if (file.error().kind() != ErrorKind::kNotFound) return std::move(file).error();
  return Error::Corrupt("a file of the dataset is missing")
      .In(file.error().file())
      .Advice("run penstock verify on the dataset in the store");
}

Status FaceHeaders::FillIn(const Face& face, const EmbeddedArray& array, const std::string& digest,
                           int fd) {
  const std::string path = Join(face.dataset, array.path);
  if (array.bytes <= kMostAtOnce) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::string text,
                              ReadUpstreamFile(*upstream_, path, kMostAtOnce));
    const auto bytes = AsBytes(text).first(std::min<size_t>(text.size(), array.bytes));
    if (bytes.size() < array.bytes) return TooShort(path, array.bytes, bytes.size());
    const std::string found = HashBytes(bytes);
    if (found != digest) return Damaged(path, digest, found);
    return WriteFully(fd, array.header_offset, bytes, "header of a face");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto file, upstream_->Open(path));
  FileHasher hasher;
  std::vector<std::byte> chunk(std::min<uint64_t>(kChunkBytes, array.bytes));
  for (uint64_t done = 0; done < array.bytes;) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(chunk.size(), array.bytes - done));
    PENSTOCK_ASSIGN_OR_RETURN(const size_t read, file->Read(done, part));
    if (read < part.size()) {
      return TooShort(path, array.bytes, done + read);
    }
    hasher.Update(part);
    PENSTOCK_RETURN_IF_ERROR(WriteFully(fd, array.header_offset + done, part, "header of a face"));
    done += read;
  }
  if (hasher.HexDigest() == digest) return {};
  return Damaged(path, digest, hasher.HexDigest());
}

std::shared_ptr<FaceHeaders::Slot> FaceHeaders::SlotOf(const std::string& id) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Slot>& slot = slots_[id];
  if (!slot) {
    // Those that nobody makes and nobody has.
    std::erase_if(slots_, [&](const auto& entry) {
      return entry.first != id && entry.second.use_count() == 1 && entry.second->header.expired();
    });
    std::shared_ptr<Slot>& fresh = slots_[id];
    fresh = std::make_shared<Slot>();
    return fresh;
  }
  return slot;
}

void FaceHeaders::Keep(const std::shared_ptr<const FaceHeader>& header) {
  const std::lock_guard lock(mutex_);
  kept_.remove(header);
  kept_.push_front(header);
  uint64_t bytes = 0;
  for (auto each = kept_.begin(); each != kept_.end();) {
    bytes += (*each)->memory_bytes();
    each =
        bytes > limits_.kept_bytes && each != kept_.begin() ? kept_.erase(each) : std::next(each);
  }
}

uint64_t FaceHeaders::BytesInUse() {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [id, slot] : slots_) {
    if (const auto header = slot->header.lock()) bytes += header->memory_bytes();
  }
  return bytes;
}

Result<std::string> ChecksumsWithoutNexus(const std::string& text, const std::string& path) {
  PENSTOCK_ASSIGN_OR_RETURN(ChecksumList list, ParseChecksumList(text, path));
  list.erase(kNexusFaceName);
  return ChecksumListText(list);
}

}  // namespace penstock::cachefs
