#include "cachefs/faces/open_face.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cachefs/faces/assembly.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {

namespace {

// Reads that come a little out of order (the kernel's read-ahead) are reading on, too.
constexpr uint64_t kReadingOn = uint64_t{4} << 20;

std::span<std::byte> HeaderBuffer(size_t size) {
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < size) buffer.resize(size);
  return {buffer.data(), size};
}

// The bytes of a part to where they belong.
Status CopyPart(const Result<std::span<const std::byte>>& part, std::span<std::byte> to) {
  if (!part.ok()) return part.error();
  if (part->size() != to.size()) {
    return Error::Corrupt("a block is shorter than its dataset says");
  }
  std::memcpy(to.data(), part->data(), part->size());
  return {};
}

}  // namespace

OpenFace::OpenFace(std::shared_ptr<const Face> face, std::shared_ptr<const FaceHeader> header,
                   std::shared_ptr<const DatasetView> dataset, BlockCache& cache)
    : face_(std::move(face)),
      header_(std::move(header)),
      dataset_(std::move(dataset)),
      cache_(cache),
      compressed_(dataset_ != nullptr && dataset_->compression != Compression::kNone
                      ? std::make_shared<CompressedBlocks>(face_->layout.shape(),
                                                           face_->layout.grid(), cache)
                      : nullptr) {}

OpenFace::~OpenFace() {
  if (kept_.empty()) return;
  // Of a dataset that nobody can open any more.
  kept_.clear();
  for (const auto& block : dataset_->blocks) cache_.Evict(block->id);
}

void OpenFace::Read(uint64_t offset, size_t size, BlockCache::ReadCallback callback) {
  std::vector<FacePart> parts;
  if (face_->kind != FaceKind::kChecksumList) {
    parts = face_->layout.PartsOf(offset, size);
  } else if (offset < face_->total_bytes) {
    parts.push_back({.block = -1,
                     .file_offset = offset,
                     .bytes = std::min<uint64_t>(size, face_->total_bytes - offset)});
  }
  if (parts.empty()) {
    callback(std::span<const std::byte>());
    return;
  }
  const bool reading_on = IsReadingOn(offset, size);
  if (parts.size() == 1) {  // without a copy
    ReadPart(parts.front(), reading_on, std::move(callback));
    return;
  }
  size_t total = 0;
  for (const FacePart& part : parts) total += part.bytes;
  const auto assembly = std::make_shared<Assembly>(total, parts.size(), std::move(callback));
  size_t at = 0;
  for (const FacePart& part : parts) {
    const std::span<std::byte> to(assembly->data() + at, part.bytes);
    ReadPart(part, reading_on,
             [assembly, to](const auto& bytes) { assembly->Done(CopyPart(bytes, to)); });
    at += part.bytes;
  }
}

void OpenFace::ReadPart(const FacePart& part, bool reading_on, BlockCache::ReadCallback callback) {
  if (part.block < 0) {
    const std::span<std::byte> buffer = HeaderBuffer(part.bytes);
    const Status read = header_->Read(part.file_offset, buffer);
    if (read.ok()) {
      callback(std::span<const std::byte>(buffer));
    } else {
      callback(read.error());
    }
    return;
  }
  const ReplicaPin pin = cache_.Pin(dataset_->blocks[static_cast<size_t>(part.block)]);
  Follow(pin, part, reading_on);
  if (compressed_ != nullptr) {
    compressed_->Read(pin, part.file_offset - kPayloadStart, part.bytes, std::move(callback));
    return;
  }
  cache_.Read(pin, part.file_offset, part.bytes, std::move(callback));
}

bool OpenFace::IsReadingOn(uint64_t offset, size_t size) {
  const std::lock_guard lock(mutex_);
  const uint64_t before = std::exchange(latest_end_, offset + size);
  return std::max(offset, before) - std::min(offset, before) <= kReadingOn;
}

void OpenFace::Follow(const ReplicaPin& pin, const FacePart& part, bool reading_on) {
  const int64_t next = part.block + 1;
  const auto block = static_cast<size_t>(part.block);
  const uint64_t face_bytes =
      kPayloadStart + static_cast<uint64_t>(dataset_->regions[block].frame_count()) *
                          face_->layout.shape().frame_bytes();
  bool is_new = false;
  bool fetch_next = false;
  {
    const std::lock_guard lock(mutex_);
    is_new = std::exchange(current_block_, part.block) != part.block;
    fetch_next = reading_on && next < face_->layout.block_count() && fetched_ahead_ != next &&
                 part.file_offset + part.bytes > face_bytes / 2;
    if (fetch_next) fetched_ahead_ = next;
  }
  if (is_new) {
    cache_.IsAsItWasLeft(pin);
    cache_.Touch(pin);
    // Proving what an earlier daemon left is local work.
    if (cache_.HasUnverified(pin)) cache_.StartFill(pin);
  }
  if (fetch_next) cache_.StartFill(cache_.Pin(dataset_->blocks[static_cast<size_t>(next)]));
}

void OpenFace::KeepReplicas() {
  std::vector<ReplicaPin> kept;
  for (const auto& block : dataset_->blocks) {
    if (cache_.ResidencyOf(*block).residency != Residency::kAbsent) {
      kept.push_back(cache_.Pin(block));
    }
  }
  const std::lock_guard lock(mutex_);
  kept_ = std::move(kept);
}

}  // namespace penstock::cachefs
