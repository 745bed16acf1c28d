#include "reader/io/extent_verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "penstock/base/file.h"

namespace penstock {

namespace {

constexpr uint64_t kScratchBytes = uint64_t{1} << 20;

int64_t ExtentOf(uint64_t offset) { return static_cast<int64_t>(offset / kExtentBytes); }

}  // namespace

ExtentVerifier::ExtentVerifier(std::vector<std::vector<uint64_t>> expected)
    : expected_(std::move(expected)) {
  size_t count = 0;
  for (const std::vector<uint64_t>& block : expected_) {
    first_.push_back(count);
    count += block.size();
  }
  verified_ = std::make_unique<std::atomic<bool>[]>(count);
}

Result<std::unique_ptr<ExtentVerifier>> ExtentVerifier::Create(const Dataset& dataset) {
  auto expected = dataset.ReadExtentChecksums();
  if (!expected.ok()) {
    return std::move(expected).error().Advice(
        "run `penstock verify` on the dataset; reading without verification is possible");
  }
  return std::unique_ptr<ExtentVerifier>(new ExtentVerifier(std::move(expected).value()));
}

size_t ExtentVerifier::Index(int64_t block, int64_t extent) const {
  return first_[static_cast<size_t>(block)] + static_cast<size_t>(extent);
}

uint64_t ExtentVerifier::Expected(int64_t block, int64_t extent) const {
  return expected_[static_cast<size_t>(block)][static_cast<size_t>(extent)];
}

bool ExtentVerifier::IsVerified(int64_t block, int64_t extent) const {
  return verified_[Index(block, extent)].load(std::memory_order_relaxed);
}

bool ExtentVerifier::MarkVerified(int64_t block, int64_t extent) {
  return !verified_[Index(block, extent)].exchange(true, std::memory_order_relaxed);
}

void ExtentCheck::Begin(int64_t block, const Source& source, bool alone) {
  active_ = false;
  source_ = source;
  direct_fd_ = -1;
  update_end_ = source.end;
  if (verifier_ == nullptr || source.begin == source.end) return;
  block_ = block;
  position_ = source.begin;
  extent_ = -1;
  wanted_ = false;
  // The frames of extent 0 begin behind the block's head.
  const bool begins_extent =
      source.begin % kExtentBytes == 0 || source.begin == source.payload_start;
  first_ = ExtentOf(source.begin) + (alone || begins_extent ? 0 : 1);
  for (int64_t extent = first_; extent <= ExtentOf(source.end - 1); ++extent) {
    active_ = active_ || !verifier_->IsVerified(block, extent);
  }
}

uint64_t ExtentCheck::ExtentEnd() const {
  return std::min(static_cast<uint64_t>(extent_ + 1) * kExtentBytes, source_.file_bytes);
}

uint64_t ExtentCheck::wanted_end() const {
  if (!active_) return source_.end;
  const int64_t last = ExtentOf(source_.end - 1);
  if (last < first_ || verifier_->IsVerified(block_, last)) return source_.end;
  return std::min(static_cast<uint64_t>(last + 1) * kExtentBytes, source_.file_bytes);
}

void ExtentCheck::ReadDirect(int fd, uint64_t end) {
  direct_fd_ = fd;
  update_end_ = end;
}

// The bytes from `begin`, at least one and at most up to `end`.
Result<std::span<const std::byte>> ExtentCheck::ReadPart(uint64_t begin, uint64_t end) {
  if (scratch_.size() == 0) {
    PENSTOCK_ASSIGN_OR_RETURN(scratch_, AlignedBuffer::Allocate(kScratchBytes));
  }
  const bool direct = direct_fd_ >= 0;
  const uint64_t first = direct ? begin / kDirectIoAlignment * kDirectIoAlignment : begin;
  // The alignment is a power of two, and so is the size of the buffer.
  const uint64_t last =
      direct ? (end + kDirectIoAlignment - 1) / kDirectIoAlignment * kDirectIoAlignment : end;
  const auto part = scratch_.span().first(std::min<uint64_t>(scratch_.size(), last - first));
  auto got = ReadSome(direct ? direct_fd_ : source_.fd, first, part, *source_.path);
  if (!got.ok() && direct && got.error().system_errno() == EINVAL) {
    direct_fd_ = -1;  // a file system that takes the flag and refuses the read
    return ReadPart(begin, end);
  }
  if (!got.ok()) return std::move(got).error();
  if (first + *got <= begin) {
    return Error::Corrupt("the block file ends too early")
        .In(source_.path->string())
        .AtOffset(first + *got)
        .Expected(fmt::format("{} bytes", source_.file_bytes))
        .Advice("run `penstock verify` on the dataset");
  }
  return std::span<const std::byte>(part).subspan(begin - first,
                                                  std::min(first + *got, end) - begin);
}

Status ExtentCheck::Hash(uint64_t begin, uint64_t end) {
  while (begin < end) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto part, ReadPart(begin, end));
    hasher_.Update(part);
    begin += part.size();
  }
  return Status::Ok();
}

Status ExtentCheck::EnterExtent(uint64_t from) {
  extent_ = ExtentOf(from);
  wanted_ = extent_ >= first_ && !verifier_->IsVerified(block_, extent_);
  if (!wanted_) return Status::Ok();
  hasher_ = ExtentHasher();
  return Hash(static_cast<uint64_t>(extent_) * kExtentBytes, from);
}

Status ExtentCheck::Close() {
  wanted_ = false;
  const uint64_t expected = verifier_->Expected(block_, extent_);
  const std::vector<uint64_t> found = hasher_.Finish();
  if (found.size() == 1 && found.front() == expected) {
    if (verifier_->MarkVerified(block_, extent_)) ++verified_count_;
    return Status::Ok();
  }
  const FrameRange frames = source_.frames_of_extent(extent_);
  return Error::Corrupt("the block is damaged")
      .In(source_.path->string())
      .At(fmt::format("extent {} (offset {}), frames {}-{}", extent_,
                      static_cast<uint64_t>(extent_) * kExtentBytes, frames.first, frames.last - 1))
      .Expected(fmt::format("XXH3-64 {:016x}", expected))
      .Found(fmt::format("{:016x}", found.empty() ? 0 : found.front()))
      .Advice("`penstock verify` lists all damage; restore the file from another copy");
}

Status ExtentCheck::Update(std::span<const std::byte> bytes) {
  if (!active_) return Status::Ok();
  while (!bytes.empty()) {
    if (extent_ != ExtentOf(position_)) PENSTOCK_RETURN_IF_ERROR(EnterExtent(position_));
    const uint64_t extent_end = ExtentEnd();
    const auto part = bytes.first(std::min<uint64_t>(bytes.size(), extent_end - position_));
    if (wanted_) hasher_.Update(part);
    position_ += part.size();
    bytes = bytes.subspan(part.size());
    if (wanted_ && position_ == extent_end) PENSTOCK_RETURN_IF_ERROR(Close());
  }
  if (position_ != update_end_) return Status::Ok();
  active_ = false;
  if (!wanted_) return Status::Ok();
  PENSTOCK_RETURN_IF_ERROR(Hash(position_, ExtentEnd()));
  return Close();
}

}  // namespace penstock
