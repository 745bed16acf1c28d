#include "cachefs/control/cache_commands.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <thread>

#include "cachefs/control/visibility.h"
#include "cachefs/control/warm_job.h"

namespace penstock::cachefs {

namespace {

constexpr int kDeepestDataset = 8;
constexpr std::chrono::milliseconds kBetweenReports{200};
constexpr std::array<std::string_view, 7> kCommands = {"warm", "evict", "pin",  "unpin",
                                                       "pins", "quota", "scrub"};

using DatasetViews = std::vector<std::shared_ptr<const DatasetView>>;

std::string TextOf(const Json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<int64_t> NumberOf(const Json& request, const char* key) {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

uint64_t BoundOf(const Json& request, const char* key, uint64_t otherwise) {
  const auto number = NumberOf(request, key);
  if (!number) return otherwise;
  return *number < 0 ? UINT64_MAX : static_cast<uint64_t>(*number);
}

bool FlagOf(const Json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

bool CacheCommands::Knows(const std::string& command) const {
  return std::ranges::find(kCommands, command) != kCommands.end();
}

Status CacheCommands::Handle(const Json& request, const Writer& write) {
  const std::string command = TextOf(request, "command");
  if (command == "warm") return Warm(request, write);
  if (command == "evict") return Evict(request, write);
  if (command == "pin") return AddPin(request, write);
  if (command == "unpin") return RemovePin(request, write);
  if (command == "pins") return ListPins(write);
  if (command == "quota") return Quota(request, write);
  return Scrub(request, write);
}

Status CacheCommands::Warm(const Json& request, const Writer& write) {
  WarmJob job({.upstream = services_.upstream,
               .registry = services_.registry,
               .cache = services_.cache,
               .stopping = &stopping_,
               .settle_time = services_.settle_time},
              write);
  const auto first = NumberOf(request, "first_block");
  const auto last = NumberOf(request, "last_block");
  if (first && last) job.OnlyBlocks(*first, *last);
  PENSTOCK_RETURN_IF_ERROR(job.Collect(TextOf(request, "path")));
  PENSTOCK_RETURN_IF_ERROR(job.Fetch());
  if (FlagOf(request, "verify")) PENSTOCK_RETURN_IF_ERROR(job.Verify());
  Json result = job.Result();
  if (const auto& failures = result["failures"]; !failures.empty()) {
    std::string what = "the cache could not be warmed: " + failures[0].get<std::string>();
    const auto failed = result["failed"].get<size_t>();
    if (failed > 1) what += fmt::format(" (and {} more)", failed - 1);
    return Error(ErrorKind::kIo, std::move(what));
  }
  result["done"] = true;
  write(result);
  return {};
}

Status CacheCommands::Evict(const Json& request, const Writer& write) {
  const std::string path = TextOf(request, "path");
  const auto datasets = DatasetsAt(path);
  // A path of ordinary files alone has no datasets.
  if (!datasets.ok() && datasets.error().kind() != ErrorKind::kNotFound) return datasets.error();
  const auto files = services_.cache->EvictFilesBelow(path);
  if (!datasets.ok() && files.evicted + files.held == 0) return datasets.error();
  size_t evicted = 0;
  size_t held = 0;
  for (const auto& dataset : datasets.ok() ? *datasets : DatasetViews()) {
    for (const auto& block : dataset->blocks) {
      if (services_.cache->Evict(block->id)) {
        ++evicted;
      } else if (services_.cache->ResidencyOf(*block).residency != Residency::kAbsent) {
        ++held;
      }
    }
  }
  write({{"evicted_blocks", evicted},
         {"held_blocks", held},
         {"evicted_files", files.evicted},
         {"held_files", files.held},
         {"done", true}});
  return {};
}

Result<std::vector<std::shared_ptr<const DatasetView>>> CacheCommands::DatasetsAt(
    const std::string& path) {
  std::vector<std::shared_ptr<const DatasetView>> found;
  // The path itself or a directory above it.
  for (std::string candidate = path;;) {
    auto view = services_.registry->Get(candidate);
    if (view.ok()) {
      found.push_back(std::move(view).value());
      return found;
    }
    if (view.error().kind() != ErrorKind::kNotFound) return view.error();
    if (candidate.empty()) break;
    const size_t slash = candidate.rfind('/');
    candidate = slash == std::string::npos ? "" : candidate.substr(0, slash);
  }
  const Status collected = CollectBelow(path, 0, found);
  if (!collected.ok() && collected.error().kind() != ErrorKind::kNotFound) return collected.error();
  if (found.empty()) return Error::NotFound("there is no dataset here").In("/" + path);
  return found;
}

Status CacheCommands::CollectBelow(const std::string& path, int depth,
                                   std::vector<std::shared_ptr<const DatasetView>>& found) {
  if (depth > kDeepestDataset || stopping_) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const auto entries, services_.upstream->List(path));
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != S_IFDIR || entry.name.starts_with('.')) continue;
    const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
    auto view = services_.registry->Get(below);
    if (view.ok()) {
      found.push_back(std::move(view).value());
    } else if (view.error().kind() == ErrorKind::kNotFound) {
      PENSTOCK_RETURN_IF_ERROR(CollectBelow(below, depth + 1, found));
    } else {
      return view.error();
    }
  }
  return {};
}

Status CacheCommands::Locate(const std::string& path, const Peer& peer, const Writer& write) {
  const auto datasets = DatasetsAt(path);
  if (!datasets.ok() && IsTrusted(peer)) return datasets.error();
  bool found = false;
  for (const auto& view : datasets.ok() ? *datasets : DatasetViews()) {
    if (!MaySeeDataset(peer, *services_.upstream, view->path)) continue;
    found = true;
    std::vector<NodeResidency> nodes{ResidencyHere(*services_.cache, *view, services_.node_name)};
    if (services_.elsewhere) {
      for (NodeResidency& node : services_.elsewhere(*view)) nodes.push_back(std::move(node));
    }
    // The path is the dataset, a directory above it, or something in it.
    const bool inside = path.size() > view->path.size();
    if (!write(LocateJson(*view, inside ? path : view->path, nodes))) {
      return Error::Cancelled("the client has gone");
    }
  }
  // To others one that is not there and one that is not for them are the same.
  if (!found) {
    return Error(ErrorKind::kPermission, "there is no dataset here that you may read")
        .In("/" + path);
  }
  write({{"done", true}});
  return {};
}

Status CacheCommands::AddPin(const Json& request, const Writer& write) {
  KeepPin pin{.pattern = TextOf(request, "path"),
              .owner = TextOf(request, "owner"),
              .reason = TextOf(request, "reason"),
              .expires = NumberOf(request, "expires")};
  if (pin.pattern.empty()) pin.pattern = "/";
  const auto first = NumberOf(request, "first_block");
  const auto last = NumberOf(request, "last_block");
  if (first && last) pin.blocks = {*first, *last};
  PENSTOCK_ASSIGN_OR_RETURN(pin, services_.policy->Add(std::move(pin)));
  services_.cache->PolicyChanged();
  write({{"pin", ToJson(pin)}, {"done", true}});
  return {};
}

Status CacheCommands::RemovePin(const Json& request, const Writer& write) {
  std::string pattern = TextOf(request, "path");
  if (pattern.empty()) pattern = "/";
  PENSTOCK_ASSIGN_OR_RETURN(const size_t removed,
                            services_.policy->Remove(NumberOf(request, "number"), pattern));
  if (removed == 0) {
    return Error::NotFound("there is no such pin").Advice("list them with: penstock pins");
  }
  services_.cache->PolicyChanged();
  write({{"removed", removed}, {"done", true}});
  return {};
}

Status CacheCommands::ListPins(const Writer& write) const {
  Json pins = Json::array();
  for (const KeepPin& pin : services_.policy->Pins()) pins.push_back(ToJson(pin));
  write({{"pins", std::move(pins)}, {"done", true}});
  return {};
}

Status CacheCommands::Quota(const Json& request, const Writer& write) {
  if (const std::string folder = TextOf(request, "folder"); !folder.empty()) {
    FolderQuota quota = services_.policy->QuotaOf(folder);
    // A negative number takes a bound away.
    quota.soft_bytes = BoundOf(request, "soft_bytes", quota.soft_bytes);
    quota.hard_bytes = BoundOf(request, "hard_bytes", quota.hard_bytes);
    PENSTOCK_RETURN_IF_ERROR(services_.policy->SetQuota(folder, quota));
    services_.cache->PolicyChanged();
  }
  const auto bound = [](uint64_t bytes) { return bytes == UINT64_MAX ? Json() : Json(bytes); };
  const auto quotas = services_.policy->Quotas();
  Json folders = Json::array();
  FolderSums used = services_.cache->FolderBytes();
  for (const auto& [folder, quota] : quotas) used.try_emplace(folder, 0);
  for (const auto& [folder, bytes] : used) {
    const auto quota = quotas.find(folder);
    const FolderQuota bounds = quota == quotas.end() ? FolderQuota() : quota->second;
    folders.push_back({{"folder", folder},
                       {"bytes", bytes},
                       {"soft_bytes", bound(bounds.soft_bytes)},
                       {"hard_bytes", bound(bounds.hard_bytes)}});
  }
  write({{"folders", std::move(folders)}, {"done", true}});
  return {};
}

Status CacheCommands::Scrub(const Json& request, const Writer& write) {
  if (const auto rate = NumberOf(request, "bytes_per_second")) {
    services_.scrubber->SetRate(static_cast<uint64_t>(std::max<int64_t>(*rate, 0)));
  }
  const std::string action = TextOf(request, "action");
  if (action == "start") PENSTOCK_RETURN_IF_ERROR(services_.scrubber->Start());
  if (action == "pause") PENSTOCK_RETURN_IF_ERROR(services_.scrubber->Pause());
  // Follows the pass that was begun; whoever goes away leaves it running.
  while (FlagOf(request, "wait") && !stopping_) {
    Json state = services_.scrubber->Describe();
    if (state["state"] == "idle" || state["state"] == "paused") break;
    if (!write(state)) return Error::Cancelled("the client has gone");
    std::this_thread::sleep_for(kBetweenReports);
  }
  Json state = services_.scrubber->Describe();
  state["done"] = true;
  write(state);
  return {};
}

}  // namespace penstock::cachefs
