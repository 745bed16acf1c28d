#include "ingest/formats/k2is/sector_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ingest/formats/raw/record_source.h"

namespace penstock::ingest::k2is {

namespace {

constexpr uint64_t kSearchBytes = 1'000'000;
constexpr uint64_t kResyncBytes = uint64_t{4} << 20;
constexpr uint64_t kMaxSearchedBytes = uint64_t{1} << 30;
constexpr size_t kMaxRuns = 4096;
constexpr uint64_t kMaxBlocksFromEnd = 64;

struct Probe {
  uint64_t offset = 0;
  BlockHeader header;
  int index = 0;  // by the coordinates

  int64_t FrameShift() const {
    return int64_t{header.frame_id} * kBlocksPerFrame + index - int64_t{header.block_count};
  }
};

class RunFinder {
 public:
  explicit RunFinder(SectorFile& file) : file_(file) {}

  Status Find() {
    PENSTOCK_ASSIGN_OR_RETURN(const auto first, FirstBlock());
    if (!first) return Status::Ok();
    PENSTOCK_ASSIGN_OR_RETURN(const Probe last, LastBlock(*first));
    file_.bytes_in_front = first->offset;
    file_.bytes_behind = file_.identity.size - last.offset - kBlockBytes;
    StartRun(*first);
    if (last.offset == first->offset) return Status::Ok();
    return Extend(*first, last, 0);
  }

 private:
  Result<std::optional<Probe>> ProbeAt(uint64_t offset) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto header, file_.HeaderAt(offset));
    if (!header) return std::optional<Probe>();
    const auto index = header->Index();
    if (!index) return std::optional<Probe>();
    return std::optional<Probe>({offset, *header, *index});
  }

  // The first block that starts in [begin, end) at any byte, confirmed by the one behind it or by
  // the one that is `confirmed_at`.
  Result<std::optional<Probe>> Search(uint64_t begin, uint64_t end, uint64_t confirmed_at) {
    searched_bytes_ += end - begin;
    if (searched_bytes_ > kMaxSearchedBytes) return std::optional<Probe>();
    window_.resize(
        static_cast<size_t>(std::min(end - begin + kHeaderBytes, file_.identity.size - begin)));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(file_.fd.get(), begin, window_, file_.path));
    for (size_t at = 0; at < end - begin && at + kHeaderBytes <= window_.size(); ++at) {
      if (window_[at] != std::byte{0xFF} ||
          !ParseBlockHeader(std::span(window_).subspan(at, kHeaderBytes))) {
        continue;
      }
      PENSTOCK_ASSIGN_OR_RETURN(const auto here, ProbeAt(begin + at));
      if (!here) continue;
      const uint64_t next = begin + at + kBlockBytes;
      if (next == confirmed_at || next + kBlockBytes > file_.identity.size) return here;
      PENSTOCK_ASSIGN_OR_RETURN(const auto behind, file_.HeaderAt(next));
      if (behind) return here;
    }
    return std::optional<Probe>();
  }

  Result<std::optional<Probe>> FirstBlock() {
    if (file_.identity.size < kBlockBytes) return std::optional<Probe>();
    PENSTOCK_ASSIGN_OR_RETURN(auto first, ProbeAt(0));
    if (first) return first;
    const uint64_t end = std::min(kSearchBytes, file_.identity.size - kBlockBytes + 1);
    return Search(0, end, UINT64_MAX);
  }

  Result<Probe> LastBlock(const Probe& first) {
    const uint64_t size = file_.identity.size;
    const uint64_t blocks = (size - first.offset) / kBlockBytes;  // at least 1
    const uint64_t looks = std::min(blocks - 1, kMaxBlocksFromEnd);
    for (uint64_t back = 0; back < looks; ++back) {
      PENSTOCK_ASSIGN_OR_RETURN(const auto probe,
                                ProbeAt(first.offset + (blocks - 1 - back) * kBlockBytes));
      if (probe) return *probe;
    }
    // Bytes are lost inside: blocks at the end may begin anywhere.
    std::optional<Probe> last;
    uint64_t begin = size - kBlockBytes + 1 > kSearchBytes ? size - kBlockBytes + 1 - kSearchBytes
                                                           : first.offset + 1;
    begin = std::max(begin, first.offset + 1);
    const uint64_t end = size - kBlockBytes + 1;
    while (begin < end) {
      PENSTOCK_ASSIGN_OR_RETURN(const auto found, Search(begin, end, UINT64_MAX));
      if (!found) break;
      last = found;
      begin = found->offset + kBlockBytes;
    }
    if (last) return *last;
    // Nothing at the end is a block: ever larger steps back to one that is.
    for (uint64_t back = kMaxBlocksFromEnd; back < blocks - 1; back *= 2) {
      PENSTOCK_ASSIGN_OR_RETURN(const auto probe,
                                ProbeAt(first.offset + (blocks - 1 - back) * kBlockBytes));
      if (probe) return *probe;
    }
    return first;
  }

  void StartRun(const Probe& probe) {
    file_.runs.push_back({.offset = probe.offset,
                          .first_count = probe.header.block_count,
                          .blocks = 1,
                          .frame_shift = probe.FrameShift()});
  }

  // The index is left out on purpose: a block with the place of another is still in its frame.
  static bool Continues(const BlockRun& run, const Probe& probe) {
    const int64_t count = probe.header.block_count;
    return count >= run.first_count && run.OffsetOf(count) == probe.offset &&
           run.FrameOf(count) == int64_t{probe.header.frame_id};
  }

  // A block between the two, near their middle.
  Result<std::optional<Probe>> Between(const Probe& before, const Probe& behind) {
    const uint64_t half = std::max<uint64_t>((behind.offset - before.offset) / kBlockBytes / 2, 1);
    const uint64_t from_before = before.offset + half * kBlockBytes;
    if (from_before < behind.offset) {
      PENSTOCK_ASSIGN_OR_RETURN(auto probe, ProbeAt(from_before));
      if (probe) return probe;
    }
    const uint64_t from_behind = behind.offset - half * kBlockBytes;
    if (from_behind > before.offset) {
      PENSTOCK_ASSIGN_OR_RETURN(auto probe, ProbeAt(from_behind));
      if (probe) return probe;
    }
    const uint64_t begin = std::max(std::min(from_before, behind.offset - 1), before.offset + 1);
    PENSTOCK_ASSIGN_OR_RETURN(
        auto found, Search(begin, std::min(behind.offset, begin + kResyncBytes), behind.offset));
    if (found || begin <= before.offset + 1) return found;
    const uint64_t back =
        begin - before.offset > kResyncBytes ? begin - kResyncBytes : before.offset + 1;
    return Search(back, begin, behind.offset);
  }

  // `before` belongs to the last run. Everything up to `behind` is put into runs.
  Status Extend(const Probe& before, const Probe& behind, int depth) {
    BlockRun& run = file_.runs.back();
    if (Continues(run, behind)) {
      run.blocks = int64_t{behind.header.block_count} - run.first_count + 1;
      return Status::Ok();
    }
    if (file_.runs.size() >= kMaxRuns) {
      return Error::Corrupt("the blocks of the sector are in too many pieces")
          .In(file_.path.string())
          .AtOffset(behind.offset)
          .Expected(fmt::format("at most {} breaks in the numbers of blocks and frames", kMaxRuns))
          .Found("more")
          .Advice("this is no K2 IS sector file, or it is damaged throughout");
    }
    constexpr int kMaxDepth = 256;
    if (behind.offset - before.offset > kBlockBytes && depth < kMaxDepth) {
      PENSTOCK_ASSIGN_OR_RETURN(const auto middle, Between(before, behind));
      if (middle) {
        PENSTOCK_RETURN_IF_ERROR(Extend(before, *middle, depth + 1));
        return Extend(*middle, behind, depth + 1);
      }
    }
    StartRun(behind);
    return Status::Ok();
  }

  SectorFile& file_;
  std::vector<std::byte> window_;
  uint64_t searched_bytes_ = 0;
};

}  // namespace

Result<std::optional<BlockHeader>> SectorFile::HeaderAt(uint64_t offset) const {
  if (identity.size < kBlockBytes || offset > identity.size - kBlockBytes) {
    return std::optional<BlockHeader>();
  }
  std::array<std::byte, kHeaderBytes> bytes;
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), offset, bytes, path));
  return ParseBlockHeader(bytes);
}

Result<SectorFile> OpenSectorFile(const std::filesystem::path& path, int sector) {
  SectorFile file;
  file.sector = sector;
  file.path = path;
  PENSTOCK_ASSIGN_OR_RETURN(OpenedFile opened, OpenRegularFile(path));
  file.fd = std::move(opened.fd);
  file.identity = opened.identity;
  PENSTOCK_RETURN_IF_ERROR(RunFinder(file).Find());
  return file;
}

std::optional<size_t> FindFirstBlock(std::span<const std::byte> head, bool whole) {
  for (size_t at = 0; at + kHeaderBytes <= head.size(); ++at) {
    if (!ParseBlockHeader(head.subspan(at, kHeaderBytes))) continue;
    if (at == 0) return at;
    const size_t next = at + kBlockBytes;
    const bool confirmed = next + kHeaderBytes <= head.size()
                               ? ParseBlockHeader(head.subspan(next, kHeaderBytes)).has_value()
                               : whole && next <= head.size();
    if (confirmed) return at;
  }
  return std::nullopt;
}

}  // namespace penstock::ingest::k2is
