#include "reader/io/chunk_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace penstock {

namespace {

uint64_t AlignDown(uint64_t offset) { return offset / kDirectIoAlignment * kDirectIoAlignment; }
uint64_t AlignUp(uint64_t offset) { return AlignDown(offset + kDirectIoAlignment - 1); }

constexpr int kMostDepth = 256;
// Four requests of 1 MiB keep one SSD busy. What is far away needs more.
constexpr int kInitialDepth = 4;
constexpr int kMostAdaptedDepth = 16;
// The one that the caller has, one that comes next, one that is being filled.
constexpr size_t kFewestSlots = 3;

}  // namespace

ChunkReader::ChunkReader(size_t request_bytes, int depth, bool asynchronous)
    : request_bytes_(std::max<size_t>(AlignDown(request_bytes), kDirectIoAlignment)),
      depth_(depth > 0 ? std::min(depth, kMostDepth) : kInitialDepth,
             depth > 0 ? kMostDepth : kMostAdaptedDepth, depth > 0),
      requests_(static_cast<size_t>(depth > 0 ? depth_.depth() : kMostAdaptedDepth)) {
  if (asynchronous) {
    auto queue = MakeUringQueue(static_cast<int>(requests_.size()));
    if (queue.ok()) queue_ = std::move(queue).value();
  }
  if (queue_ == nullptr) queue_ = MakePreadQueue();
}

ChunkReader::~ChunkReader() { Drain(); }

// The kernel writes into the buffers until the last completion.
void ChunkReader::Drain() {
  while (under_way_ > 0) {
    const auto completion = queue_->Wait();
    if (!completion.ok()) return;
    requests_[completion->tag].busy = false;
    --under_way_;
  }
}

uint64_t ChunkReader::ChunkBegin(int64_t chunk) const {
  return range_.begin + static_cast<uint64_t>(chunk) * range_.chunk_bytes;
}

uint64_t ChunkReader::ChunkEnd(int64_t chunk) const {
  return std::min(range_.end, ChunkBegin(chunk + 1));
}

Status ChunkReader::Start(const ByteRange& range, const std::filesystem::path& path_for_errors) {
  Drain();
  for (Slot& slot : slots_) slot.pending = 0;
  failure_.reset();
  range_ = range;
  path_ = path_for_errors;
  const uint64_t bytes = range.end - range.begin;
  chunk_count_ = static_cast<int64_t>((bytes + range.chunk_bytes - 1) / range.chunk_bytes);
  slots_used_ = SlotsFor(depth_.depth());
  // Room for the alignment at both ends.
  const size_t needed =
      AlignUp(std::min<uint64_t>(bytes, range.chunk_bytes) + 2 * kDirectIoAlignment);
  if (slots_.size() < slots_used_ || slots_.front().buffer.size() < needed) {
    PENSTOCK_RETURN_IF_ERROR(AllocateSlots(slots_used_, needed));
  }
  current_ = -1;
  submit_chunk_ = 0;
  submit_offset_ = AlignDown(range.begin);
  return SubmitAhead();
}

// One for the caller, and those that hold the reads under way.
size_t ChunkReader::SlotsFor(int depth) const {
  const size_t bytes = static_cast<size_t>(depth) * request_bytes_;
  const size_t under_way = (bytes + range_.chunk_bytes - 1) / range_.chunk_bytes;
  return std::max(std::min(under_way, static_cast<size_t>(chunk_count_)) + 1, kFewestSlots);
}

Status ChunkReader::AllocateSlots(size_t count, size_t bytes) {
  queue_->Register({});  // the old ones
  slots_.clear();
  memory_ = AlignedBuffer();
  PENSTOCK_ASSIGN_OR_RETURN(memory_, AlignedBuffer::Allocate(count * bytes));
  for (size_t i = 0; i < count; ++i) slots_.push_back({memory_.span().subspan(i * bytes, bytes)});
  const std::array<std::span<std::byte>, 1> buffers{memory_.span()};
  queue_->Register(buffers);
  return Status::Ok();
}

Status ChunkReader::Submit(size_t request) {
  const Request& read = requests_[request];
  return queue_->Submit(range_.fd, read.offset, read.to, read.bytes, request);
}

Status ChunkReader::SubmitAhead() {
  while (!failure_ && submit_chunk_ < chunk_count_) {
    // The slot of the chunk that the caller holds, or of one not yet handed out, is taken.
    if (submit_chunk_ >= std::max<int64_t>(current_, 0) + static_cast<int64_t>(slots_used_)) break;
    if (under_way_ >= depth_.depth()) break;
    const auto free = std::find_if(requests_.begin(), requests_.end(),
                                   [](const Request& request) { return !request.busy; });
    if (free == requests_.end()) break;
    const auto slot = static_cast<size_t>(submit_chunk_) % slots_used_;
    const uint64_t begin = AlignDown(ChunkBegin(submit_chunk_));
    const uint64_t end = AlignUp(ChunkEnd(submit_chunk_));
    const size_t bytes = std::min<uint64_t>(request_bytes_, end - submit_offset_);
    *free = {true, slot, submit_offset_, slots_[slot].buffer.data() + (submit_offset_ - begin),
             bytes};
    ++slots_[slot].pending;
    ++under_way_;
    Status submitted = Submit(static_cast<size_t>(free - requests_.begin()));
    if (!submitted.ok()) {
      free->busy = false;
      --slots_[slot].pending;
      --under_way_;
      return submitted;
    }
    submit_offset_ += bytes;
    if (submit_offset_ == end) {
      ++submit_chunk_;
      if (submit_chunk_ < chunk_count_) submit_offset_ = AlignDown(ChunkBegin(submit_chunk_));
    }
  }
  return Status::Ok();
}

Status ChunkReader::TakeCompletion() {
  PENSTOCK_ASSIGN_OR_RETURN(const ReadQueue::Completion completion, queue_->Wait());
  Request& read = requests_[completion.tag];
  const bool again = completion.result == -EINTR || completion.result == -EAGAIN;
  if (completion.result > 0) {
    const auto count = static_cast<uint64_t>(completion.result);
    read.offset += count;
    read.to += count;
    read.bytes -= count;
  }
  // The end of the aligned request may lie behind the end of the file.
  const bool enough = completion.result > 0 && (read.bytes == 0 || read.offset >= range_.end);
  if (!enough && !failure_) {
    if (again || completion.result > 0) return Submit(completion.tag);
    if (completion.result == 0) {
      failure_ = Error::Corrupt("the block file ends too early")
                     .In(path_.string())
                     .AtOffset(read.offset)
                     .Expected(fmt::format("{} bytes", range_.end))
                     .Advice("run `penstock verify` on the dataset");
    } else {
      failure_ = Error::FromErrno(static_cast<int>(-completion.result), "cannot read the block")
                     .In(path_.string())
                     .AtOffset(read.offset);
    }
  }
  read.busy = false;
  --slots_[read.slot].pending;
  --under_way_;
  return Status::Ok();
}

Result<std::span<const std::byte>> ChunkReader::Next() {
  if (failure_) return *failure_;
  ++current_;
  if (current_ >= chunk_count_) return std::span<const std::byte>{};
  PENSTOCK_RETURN_IF_ERROR(SubmitAhead());
  const Slot& slot = slots_[static_cast<size_t>(current_) % slots_used_];
  const bool waits = slot.pending > 0 || submit_chunk_ <= current_;
  while (!failure_ && (slot.pending > 0 || submit_chunk_ <= current_)) {
    PENSTOCK_RETURN_IF_ERROR(TakeCompletion());
    PENSTOCK_RETURN_IF_ERROR(SubmitAhead());
  }
  if (failure_) {
    Drain();
    return *failure_;
  }
  const uint64_t begin = ChunkBegin(current_);
  const auto now = std::chrono::steady_clock::now();
  // The first chunk of a range has nothing before it to be measured from.
  if (current_ > 0) {
    depth_.Observe(ChunkEnd(current_) - begin,
                   std::chrono::duration<double>(now - last_chunk_).count(), waits);
  }
  last_chunk_ = now;
  const std::span<const std::byte> chunk = slot.buffer;
  return chunk.subspan(begin - AlignDown(begin), ChunkEnd(current_) - begin);
}

}  // namespace penstock
