#include "cachefs/cache/holding_table.h"

namespace penstock::cachefs {

void HoldingTable::Set(const std::string& id, const std::string& dataset, int64_t block,
                       int64_t extents_present, bool complete, bool confirmed) {
  Holding& holding = holdings_[id];
  const Holding before = holding;
  if (before.sums != nullptr) Discount(before);
  holding.sums = &*SumsFor(block).try_emplace(dataset).first;
  holding.block = block;
  holding.extents_present = static_cast<int32_t>(extents_present);
  holding.complete = complete;
  holding.confirmed = confirmed;
  Count(holding);
  if (before.sums != nullptr) DropEmpty(before);
}

void HoldingTable::Add(const std::string& id, const std::string& dataset, int64_t block,
                       int64_t extents_present, bool complete, uint64_t bytes) {
  const auto [added, is_new] = holdings_.try_emplace(id);
  if (!is_new) return;
  Holding& holding = added->second;
  holding.sums = &*SumsFor(block).try_emplace(dataset).first;
  holding.block = block;
  holding.bytes = bytes;
  holding.extents_present = static_cast<int32_t>(extents_present);
  holding.complete = complete;
  Count(holding);
}

void HoldingTable::SetBytes(const std::string& id, uint64_t bytes) {
  const auto found = holdings_.find(id);
  if (found == holdings_.end()) return;
  Holding& holding = found->second;
  TakeFromFolder(holding, holding.bytes);
  AddToFolder(holding, bytes);
  if (!holding.is_block()) file_sum_.bytes = file_sum_.bytes - holding.bytes + bytes;
  holding.sums->second.bytes = holding.sums->second.bytes - holding.bytes + bytes;
  holding.bytes = bytes;
}

bool HoldingTable::Confirm(const std::string& id) {
  const auto found = holdings_.find(id);
  if (found == holdings_.end()) return false;
  found->second.confirmed = true;
  return true;
}

void HoldingTable::Erase(const std::string& id) {
  const auto found = holdings_.find(id);
  if (found == holdings_.end()) return;
  Discount(found->second);
  DropEmpty(found->second);
  holdings_.erase(found);
}

const Holding* HoldingTable::Find(const std::string& id) const {
  const auto found = holdings_.find(id);
  return found == holdings_.end() ? nullptr : &found->second;
}

std::vector<std::string> HoldingTable::Unconfirmed() const {
  std::vector<std::string> ids;
  for (const auto& [id, holding] : holdings_) {
    if (!holding.confirmed) ids.push_back(id);
  }
  return ids;
}

void HoldingTable::Count(const Holding& holding) {
  DatasetResidency& sums = holding.sums->second;
  ++(holding.complete ? sums.complete_blocks : sums.partial_blocks);
  sums.bytes += holding.bytes;
  AddToFolder(holding, holding.bytes);
  if (holding.is_block()) return;
  ++file_sum_.files;
  file_sum_.bytes += holding.bytes;
}

void HoldingTable::Discount(const Holding& holding) {
  DatasetResidency& sums = holding.sums->second;
  --(holding.complete ? sums.complete_blocks : sums.partial_blocks);
  sums.bytes -= holding.bytes;
  TakeFromFolder(holding, holding.bytes);
  if (holding.is_block()) return;
  --file_sum_.files;
  file_sum_.bytes -= holding.bytes;
}

void HoldingTable::AddToFolder(const Holding& holding, uint64_t bytes) {
  if (bytes == 0) return;
  const std::string_view folder = FolderOf(holding.dataset(), holding.block);
  const auto sum = folders_.find(folder);
  if (sum == folders_.end()) {
    folders_.emplace(std::string(folder), bytes);
  } else {
    sum->second += bytes;
  }
}

void HoldingTable::TakeFromFolder(const Holding& holding, uint64_t bytes) {
  const auto sum = folders_.find(FolderOf(holding.dataset(), holding.block));
  if (sum == folders_.end()) return;
  sum->second -= bytes;
  if (sum->second == 0) folders_.erase(sum);
}

uint64_t HoldingTable::FolderBytes(std::string_view folder) const {
  const auto sum = folders_.find(folder);
  return sum == folders_.end() ? 0 : sum->second;
}

std::vector<HeldReplica> HoldingTable::Everything() const {
  std::vector<HeldReplica> everything;
  everything.reserve(holdings_.size());
  for (const auto& [id, holding] : holdings_) {
    everything.push_back(
        {.id = id, .dataset = holding.dataset(), .block = holding.block, .bytes = holding.bytes});
  }
  return everything;
}

void HoldingTable::DropEmpty(const Holding& holding) {
  const DatasetResidency& sums = holding.sums->second;
  if (sums.complete_blocks == 0 && sums.partial_blocks == 0) {
    DatasetSums& table = SumsFor(holding.block);
    table.erase(table.find(holding.sums->first));
  }
}

}  // namespace penstock::cachefs
