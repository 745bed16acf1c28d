#include "cachefs/policy/cache_policy.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cachefs/cache/block_source.h"

namespace penstock::cachefs {

namespace {

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool HasExpired(const KeepPin& pin, int64_t now) { return pin.expires && *pin.expires <= now; }

bool Matches(const std::string& pattern, std::string_view path) {
  if (pattern.find_first_of("*?[") != std::string::npos) {
    return fnmatch(pattern.c_str(), std::string(path).c_str(), 0) == 0;
  }
  if (pattern == "/") return true;
  return path.starts_with(pattern) &&
         (path.size() == pattern.size() || path[pattern.size()] == '/');
}

}  // namespace

Result<std::unique_ptr<CachePolicy>> CachePolicy::Load(const std::filesystem::path& file) {
  PENSTOCK_ASSIGN_OR_RETURN(PolicyContents contents, ReadPolicy(file));
  std::unique_ptr<CachePolicy> policy(new CachePolicy(file));
  policy->contents_ = std::move(contents);
  return policy;
}

PolicyContents CachePolicy::Copy() const {
  const std::lock_guard lock(mutex_);
  return contents_;
}

Status CachePolicy::Change(PolicyContents contents) {
  PENSTOCK_RETURN_IF_ERROR(WritePolicy(file_, contents));
  const std::lock_guard lock(mutex_);
  contents_ = std::move(contents);
  return {};
}

Result<KeepPin> CachePolicy::Add(KeepPin pin) {
  if (pin.pattern.empty()) return Error::InvalidArgument("a pin needs a path");
  if (pin.blocks && (pin.blocks->first < 0 || pin.blocks->second < pin.blocks->first)) {
    return Error::InvalidArgument("this is no range of blocks")
        .Expected("FIRST-LAST")
        .Found(fmt::format("{}-{}", pin.blocks->first, pin.blocks->second));
  }
  const int64_t now = Now();
  if (HasExpired(pin, now)) return Error::InvalidArgument("the pin would have expired already");
  const std::lock_guard changing(changing_);
  PolicyContents contents = Copy();
  std::erase_if(contents.pins, [now](const KeepPin& known) { return HasExpired(known, now); });
  pin.number = contents.next_number++;
  pin.created = now;
  contents.pins.push_back(pin);
  PENSTOCK_RETURN_IF_ERROR(Change(std::move(contents)));
  return pin;
}

Result<size_t> CachePolicy::Remove(std::optional<int64_t> number, const std::string& pattern) {
  const std::lock_guard changing(changing_);
  PolicyContents contents = Copy();
  const size_t removed = std::erase_if(contents.pins, [&](const KeepPin& pin) {
    return number ? pin.number == *number : pin.pattern == pattern;
  });
  if (removed > 0) PENSTOCK_RETURN_IF_ERROR(Change(std::move(contents)));
  return removed;
}

std::vector<KeepPin> CachePolicy::Pins() const {
  const int64_t now = Now();
  const std::lock_guard lock(mutex_);
  std::vector<KeepPin> pins;
  std::ranges::copy_if(contents_.pins, std::back_inserter(pins),
                       [now](const KeepPin& pin) { return !HasExpired(pin, now); });
  return pins;
}

const KeepPin* CachePolicy::PinOf(std::string_view dataset, int64_t block) const {
  if (contents_.pins.empty()) return nullptr;
  const int64_t now = Now();
  const auto pin = std::ranges::find_if(contents_.pins, [&](const KeepPin& each) {
    if (HasExpired(each, now)) return false;
    if (each.blocks && (block < each.blocks->first || block > each.blocks->second)) return false;
    return Matches(each.pattern, dataset);
  });
  return pin == contents_.pins.end() ? nullptr : &*pin;
}

bool CachePolicy::IsKept(std::string_view dataset, int64_t block) const {
  const std::lock_guard lock(mutex_);
  return PinOf(dataset, block) != nullptr;
}

std::optional<KeepPin> CachePolicy::KeptBy(std::string_view dataset, int64_t block) const {
  const std::lock_guard lock(mutex_);
  const KeepPin* const pin = PinOf(dataset, block);
  return pin == nullptr ? std::nullopt : std::optional(*pin);
}

Status CachePolicy::SetQuota(const std::string& folder, FolderQuota quota) {
  if (folder.empty() || folder.find('/') != std::string::npos) {
    return Error::InvalidArgument("a quota is for a top-level folder of the store").Found(folder);
  }
  if (quota.soft_bytes != UINT64_MAX && quota.soft_bytes > quota.hard_bytes) {
    return Error::InvalidArgument("the soft quota is above the hard one")
        .Found(fmt::format("{} and {} bytes", quota.soft_bytes, quota.hard_bytes));
  }
  const std::lock_guard changing(changing_);
  PolicyContents contents = Copy();
  if (quota.soft_bytes == UINT64_MAX && quota.hard_bytes == UINT64_MAX) {
    contents.quotas.erase(folder);
  } else {
    contents.quotas[folder] = quota;
  }
  return Change(std::move(contents));
}

std::map<std::string, FolderQuota> CachePolicy::Quotas() const {
  const std::lock_guard lock(mutex_);
  return {contents_.quotas.begin(), contents_.quotas.end()};
}

FolderQuota CachePolicy::QuotaOf(std::string_view folder) const {
  const std::lock_guard lock(mutex_);
  const auto found = contents_.quotas.find(folder);
  return found == contents_.quotas.end() ? FolderQuota{} : found->second;
}

}  // namespace penstock::cachefs
