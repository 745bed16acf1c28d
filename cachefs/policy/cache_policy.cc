#include "cachefs/policy/cache_policy.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

#include "cachefs/cache/block_source.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

constexpr uint64_t kMostPolicyBytes = uint64_t{16} << 20;

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

KeepPin PinFromJson(const Json& json) {
  KeepPin pin;
  json.at("number").get_to(pin.number);
  json.at("pattern").get_to(pin.pattern);
  if (json.contains("first_block")) {
    pin.blocks = {json.at("first_block").get<int64_t>(), json.at("last_block").get<int64_t>()};
  }
  json.at("owner").get_to(pin.owner);
  json.at("reason").get_to(pin.reason);
  json.at("created").get_to(pin.created);
  if (json.contains("expires")) pin.expires = json.at("expires").get<int64_t>();
  return pin;
}

// What is wrong with a damaged file is said with its bytes, which need not be text.
std::string Printable(std::string text) {
  std::ranges::replace_if(
      text, [](char byte) { return byte < ' ' || byte > '~'; }, '?');
  return text;
}

Json BoundToJson(uint64_t bytes) { return bytes == UINT64_MAX ? Json() : Json(bytes); }

uint64_t BoundFromJson(const Json& json) {
  return json.is_null() ? UINT64_MAX : json.get<uint64_t>();
}

}  // namespace

Json ToJson(const KeepPin& pin) {
  Json json = {{"number", pin.number},
               {"pattern", pin.pattern},
               {"owner", pin.owner},
               {"reason", pin.reason},
               {"created", pin.created}};
  if (pin.blocks) {
    json["first_block"] = pin.blocks->first;
    json["last_block"] = pin.blocks->second;
  }
  if (pin.expires) json["expires"] = *pin.expires;
  return json;
}

Result<std::unique_ptr<CachePolicy>> CachePolicy::Load(const std::filesystem::path& file) {
  std::unique_ptr<CachePolicy> policy(new CachePolicy(file));
  std::error_code failure;
  if (!std::filesystem::exists(file, failure)) return policy;
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(file, kMostPolicyBytes));
  try {
    const Json json = Json::parse(text);
    json.at("next_number").get_to(policy->contents_.next_number);
    for (const Json& pin : json.at("pins")) policy->contents_.pins.push_back(PinFromJson(pin));
    for (const auto& [folder, quota] : json.at("quotas").items()) {
      policy->contents_.quotas[folder] = {.soft_bytes = BoundFromJson(quota.at("soft_bytes")),
                                          .hard_bytes = BoundFromJson(quota.at("hard_bytes"))};
    }
  } catch (const Json::exception& problem) {
    return Error::Corrupt("the pins and quotas of the cache cannot be read")
        .In(file.string())
        .Found(Printable(problem.what()))
        .Advice("mend the file, or move it away and pin again");
  }
  return policy;
}

CachePolicy::Contents CachePolicy::Copy() const {
  const std::lock_guard lock(mutex_);
  return contents_;
}

Status CachePolicy::Change(Contents contents) {
  Json pins = Json::array();
  for (const KeepPin& pin : contents.pins) pins.push_back(ToJson(pin));
  Json quotas = Json::object();
  for (const auto& [folder, quota] : contents.quotas) {
    quotas[folder] = {{"soft_bytes", BoundToJson(quota.soft_bytes)},
                      {"hard_bytes", BoundToJson(quota.hard_bytes)}};
  }
  const Json json = {{"next_number", contents.next_number},
                     {"pins", std::move(pins)},
                     {"quotas", std::move(quotas)}};
  PENSTOCK_RETURN_IF_ERROR(
      WriteFileAtomically(file_, json.dump(1, ' ', false, Json::error_handler_t::replace)));
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
  Contents contents = Copy();
  std::erase_if(contents.pins, [now](const KeepPin& known) { return HasExpired(known, now); });
  pin.number = contents.next_number++;
  pin.created = now;
  contents.pins.push_back(pin);
  PENSTOCK_RETURN_IF_ERROR(Change(std::move(contents)));
  return pin;
}

Result<size_t> CachePolicy::Remove(std::optional<int64_t> number, const std::string& pattern) {
  const std::lock_guard changing(changing_);
  Contents contents = Copy();
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
  Contents contents = Copy();
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
