// The part of Operations that lets the kernel believe the entries of large directories for longer,
// and tells it when they have changed (believed_names.h).

#include <algorithm>
#include <utility>

#include "cachefs/fuse/operations.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kBetweenLooks{1};
constexpr std::string_view kSidecarName = "nexus.json";

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

// What belongs to a dataset follows its nexus.json, wherever that lies.
bool Operations::IsOfDataset(const std::string& path, std::string_view name) {
  return name == kSidecarName || FaceCatalog::IsFaceName(name) ||
         DatasetRegistry::DatasetOfBlockPath(path);
}

double Operations::SecondsFor(Node& node, const struct stat& status) {
  if (!believed_.watches_any() || S_ISDIR(node.type) || node.handles > 0) return kBelievedSeconds;
  const auto [directory, name] = SplitPath(node.path);
  if (IsOfDataset(node.path, name)) return kBelievedSeconds;
  const double seconds = believed_.SecondsFor(directory, status);
  if (seconds > kBelievedSeconds) {
    node.believed_until =
        (BelievedNames::Clock::now() + std::chrono::duration_cast<BelievedNames::Clock::duration>(
                                           std::chrono::duration<double>(seconds)))
            .time_since_epoch();
  }
  return seconds;
}

bool Operations::AreBelieved(const std::string& directory,
                             std::span<const char* const> names) const {
  if (names.empty() || !believed_.Watches(directory)) return false;
  constexpr std::chrono::seconds kWhileItIsLookedAt{2};
  const auto then = (BelievedNames::Clock::now() + kWhileItIsLookedAt).time_since_epoch();
  return std::ranges::all_of(names, [&](const char* name) {
    const auto node = nodes_.Current(directory.empty() ? name : directory + "/" + name);
    return node && node->believed_until.load() > then;
  });
}

std::optional<struct stat> Operations::FromListing(const std::string& path) {
  if (path.empty() || !believed_.watches_any()) return std::nullopt;
  const auto [directory, name] = SplitPath(path);
  if (IsOfDataset(path, name)) return std::nullopt;
  return believed_.FromListing(directory, name);
}

void Operations::DoubtListing(const std::string& path) { believed_.Doubt(SplitPath(path).first); }

void Operations::Told(const std::string& path) {
  const auto [directory, name] = SplitPath(path);
  if (believed_.Watches(directory)) return;
  notifier_.Submit(WorkerPool::Priority::kDemand, [this, directory = directory, name = name] {
    const auto parent = nodes_.Current(directory);
    const std::lock_guard lock(session_mutex_);
    if (!parent || session_ == nullptr) return;
    fuse_lowlevel_notify_inval_entry(session_, parent->id, name.c_str(), name.size());
  });
}

void Operations::WasOpened(Node& node) {
  using Duration = BelievedNames::Clock::duration;
  if (node.believed_until.exchange(Duration::zero()) == Duration::zero()) return;
  notifier_.Submit(WorkerPool::Priority::kDemand, [this, id = node.id] {
    const std::lock_guard lock(session_mutex_);
    if (session_ == nullptr) return;
    constexpr off_t kAttributesOnly = -1;
    fuse_lowlevel_notify_inval_inode(session_, id, kAttributesOnly, 0);
  });
}

void Operations::WatchDirectories() {
  {
    const std::lock_guard lock(watch_mutex_);
    if (watching_ || !believed_.watches_any()) return;
    watching_ = true;
  }
  services_.deadlines->At(DeadlineWatch::Clock::now() + kBetweenLooks, [this, life = life_] {
    const std::lock_guard lock(life->mutex);
    if (life->is_over) return;
    services_.metadata_workers->Submit(WorkerPool::Priority::kBackground, [this] {
      for (const std::string& directory : believed_.TakeChanged(*services_.upstream)) {
        DoubtNames(directory);
      }
      {
        const std::lock_guard watch_lock(watch_mutex_);
        watching_ = false;
      }
      WatchDirectories();
    });
  });
}

void Operations::DoubtNames(const std::string& directory) {
  notifier_.Submit(WorkerPool::Priority::kDemand, [this, directory] {
    const auto parent = nodes_.Current(directory);
    if (!parent) return;
    for (const auto& node : nodes_.FilesIn(directory)) {
      node->believed_until = BelievedNames::Clock::duration::zero();
      const std::string name = SplitPath(node->path).second;
      const std::lock_guard lock(session_mutex_);
      if (session_ == nullptr) return;
      fuse_lowlevel_notify_inval_entry(session_, parent->id, name.c_str(), name.size());
    }
  });
}

}  // namespace penstock::cachefs
