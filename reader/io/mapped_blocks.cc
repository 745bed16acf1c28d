#include "reader/io/mapped_blocks.h"

#include <algorithm>
#include <utility>

namespace penstock {

namespace {

constexpr uint64_t kUnit = uint64_t{64} << 10;

// A process may have 65530 mappings by default.
constexpr size_t kMostKept = 16384;

}  // namespace

MappedBlock::MappedBlock(MappedFile mapped)
    : mapped_(std::move(mapped)), brought_((mapped_.bytes() + kUnit - 1) / kUnit) {}

bool MappedBlock::IsBrought(uint64_t begin, uint64_t end) const {
  for (uint64_t unit = begin / kUnit; unit * kUnit < end; ++unit) {
    if (!brought_[unit].load(std::memory_order_relaxed)) return false;
  }
  return mapped_.IsResident(begin, end);
}

Status MappedBlock::Bring(uint64_t begin, uint64_t end) {
  if (begin >= end || IsBrought(begin, end)) return Status::Ok();
  begin = begin / kUnit * kUnit;
  end = std::min((end + kUnit - 1) / kUnit * kUnit, mapped_.bytes());
  PENSTOCK_RETURN_IF_ERROR(mapped_.Populate(begin, end));
  for (uint64_t unit = begin / kUnit; unit * kUnit < end; ++unit) {
    brought_[unit].store(true, std::memory_order_relaxed);
  }
  return Status::Ok();
}

std::shared_ptr<MappedBlock> MappedBlocks::Get(int64_t block, int fd, const FileIdentity& identity,
                                               const std::filesystem::path& path_for_errors) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(block);
  if (found != kept_.end()) {
    if (found->second.identity == identity && !found->second.mapped->lost()) {
      return found->second.mapped;
    }
    kept_.erase(found);
  }
  auto mapped = MappedFile::Map(fd, identity.size, path_for_errors);
  if (!mapped.ok()) return nullptr;
  auto made = std::make_shared<MappedBlock>(std::move(mapped).value());
  if (kept_.size() < kMostKept) kept_.emplace(block, Kept{identity, made});
  return made;
}

}  // namespace penstock
