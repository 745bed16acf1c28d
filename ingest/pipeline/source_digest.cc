#include "ingest/pipeline/source_digest.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

namespace penstock::ingest {

namespace {

constexpr size_t kDigits = 32;

int DigitValue(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

bool IsDigest(std::string_view text) {
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void AppendDigest(std::string_view digits, std::vector<std::byte>& bytes) {
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(DigitValue(digits[i]) * 16 + DigitValue(digits[i + 1])));
  }
}

}  // namespace

SourceDigests::SourceDigests(const std::vector<SourceFile>& files) {
  for (const SourceFile& file : files) {
    File state;
    state.path = file.path;
    state.bytes = file.identity.size;
    // The size is that of a file that exists, so the number of leaves is small against it.
    state.leaves.resize(
        std::max<uint64_t>(1, (state.bytes + kDigestLeafBytes - 1) / kDigestLeafBytes));
    files_.push_back(std::move(state));
  }
}

void SourceDigests::Grow(const std::vector<SourceFile>& files) {
  SourceDigests grown(files);
  const std::lock_guard lock(mutex_);
  for (File& file : grown.files_) {
    const auto before = std::ranges::find(files_, file.path, &File::path);
    if (before == files_.end() || before->bytes > file.bytes) continue;
    if (before->bytes == file.bytes) {
      file.leaves = before->leaves;
      continue;
    }
    for (uint64_t leaf = 1; leaf < before->leaves.size(); ++leaf) {
      if ((leaf + 1) * kDigestLeafBytes > before->bytes) break;
      file.leaves[leaf] = std::move(before->leaves[leaf]);
    }
  }
  files_ = std::move(grown.files_);
  open_.clear();
  completed_.clear();
}

uint64_t SourceDigests::LeafEnd(const File& file, uint64_t leaf) const {
  return std::min(file.bytes, (leaf + 1) * kDigestLeafBytes);
}

void SourceDigests::OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) {
  if (file >= files_.size()) return;
  while (!bytes.empty() && offset < files_[file].bytes) {
    const uint64_t leaf = offset / kDigestLeafBytes;
    const uint64_t count = std::min<uint64_t>(bytes.size(), LeafEnd(files_[file], leaf) - offset);
    OnLeafBytes(file, leaf, offset, bytes.first(count));
    offset += count;
    bytes = bytes.subspan(count);
  }
}

void SourceDigests::OnLeafBytes(size_t file, uint64_t leaf, uint64_t offset,
                                std::span<const std::byte> bytes) {
  const std::pair key{file, leaf};
  std::optional<OpenLeaf> open;
  {
    // The state is taken out while it is worked on; somebody else's bytes of the same leaf then
    // find none and leave the leaf to Finish.
    const std::lock_guard lock(mutex_);
    if (!files_[file].leaves[leaf].empty()) return;
    if (offset == leaf * kDigestLeafBytes) {
      open.emplace();
    } else {
      const auto found = open_.find(key);
      if (found == open_.end() || found->second.next_offset != offset) return;
      open.emplace(std::move(found->second));
      open_.erase(found);
    }
  }
  open->hasher.Update(bytes);
  open->next_offset = offset + bytes.size();
  const bool complete = open->next_offset == LeafEnd(files_[file], leaf);
  std::string digest = complete ? open->hasher.HexDigest() : std::string();

  const std::lock_guard lock(mutex_);
  if (!complete) {
    open_.insert_or_assign(key, std::move(*open));
  } else if (files_[file].leaves[leaf].empty()) {
    completed_.push_back({file, leaf, digest});
    files_[file].leaves[leaf] = std::move(digest);
    open_.erase(key);
  }
}

void SourceDigests::Adopt(const LeafDigest& leaf) {
  const std::lock_guard lock(mutex_);
  if (leaf.file >= files_.size() || leaf.leaf >= files_[leaf.file].leaves.size()) return;
  if (IsDigest(leaf.digest)) files_[leaf.file].leaves[leaf.leaf] = leaf.digest;
}

std::vector<LeafDigest> SourceDigests::TakeCompleted() {
  const std::lock_guard lock(mutex_);
  return std::exchange(completed_, {});
}

uint64_t SourceDigests::MissingBytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const File& file : files_) {
    for (uint64_t leaf = 0; leaf < file.leaves.size(); ++leaf) {
      if (file.leaves[leaf].empty()) bytes += LeafEnd(file, leaf) - leaf * kDigestLeafBytes;
    }
  }
  return bytes;
}

Status SourceDigests::ReadLeaf(int fd, File& file, uint64_t leaf, std::span<std::byte> buffer) {
  const uint64_t begin = leaf * kDigestLeafBytes;
  const std::span<std::byte> bytes = buffer.first(LeafEnd(file, leaf) - begin);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, begin, bytes, file.path));
  file.leaves[leaf] = HashBytes(bytes);
  return Status::Ok();
}

Result<std::vector<SourceDigest>> SourceDigests::Finish(ProgressSink& progress,
                                                        const std::stop_token& stop) {
  open_.clear();
  AlignedBuffer buffer;
  std::vector<SourceDigest> digests;
  for (File& file : files_) {
    FileDescriptor fd;
    for (uint64_t leaf = 0; leaf < file.leaves.size(); ++leaf) {
      if (!file.leaves[leaf].empty()) continue;
      if (stop.stop_requested()) return Error::Cancelled("stopped while hashing the source");
      if (!fd.valid()) {
        PENSTOCK_ASSIGN_OR_RETURN(fd, OpenFile(file.path, O_RDONLY));
      }
      if (buffer.size() == 0) {
        PENSTOCK_ASSIGN_OR_RETURN(buffer, AlignedBuffer::Allocate(kDigestLeafBytes));
      }
      PENSTOCK_RETURN_IF_ERROR(ReadLeaf(fd.get(), file, leaf, buffer.span()));
      progress.Advance(LeafEnd(file, leaf) - leaf * kDigestLeafBytes);
    }
    if (file.leaves.size() == 1) {
      digests.push_back({std::string(kPlainDigest), file.leaves.front()});
      continue;
    }
    std::vector<std::byte> leaves;
    for (const std::string& leaf : file.leaves) AppendDigest(leaf, leaves);
    digests.push_back({std::string(kTreeDigest), HashBytes(leaves)});
  }
  return digests;
}

}  // namespace penstock::ingest
