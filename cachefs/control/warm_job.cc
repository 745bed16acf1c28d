#include "cachefs/control/warm_job.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace penstock::cachefs {

namespace {

constexpr int kDeepestFolder = 64;
constexpr std::chrono::minutes kPatience{10};
constexpr std::chrono::milliseconds kBetweenReports{200};
constexpr size_t kMostFailuresNamed = 20;

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

// The bytes of a replica that are there; the last extent may be short.
uint64_t PresentBytes(const BlockCache& cache, const BlockSource& source) {
  const ResidencyDetail detail = cache.ResidencyOf(source);
  if (detail.residency == Residency::kComplete) return source.file_bytes;
  return std::min(source.file_bytes, static_cast<uint64_t>(detail.extents_present) * kExtentBytes);
}

// What the callbacks of the cache tell; outlives the job where one comes late.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::pair<size_t, Status>> finished;
};

}  // namespace

Status WarmJob::Collect(const std::string& path) {
  // A path inside a dataset means the dataset.
  for (std::string candidate = path;;) {
    const auto view = services_.registry->Get(candidate);
    if (view.ok()) return CollectBelow(candidate, /*in_dataset=*/false, 0);
    if (view.error().kind() != ErrorKind::kNotFound) return view.error();
    if (candidate.empty()) break;
    const size_t slash = candidate.rfind('/');
    candidate = slash == std::string::npos ? "" : candidate.substr(0, slash);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, services_.upstream->Stat(path));
  if (S_ISREG(status.st_mode)) {
    PENSTOCK_RETURN_IF_ERROR(CollectFile(path, status));
  } else if (S_ISDIR(status.st_mode)) {
    PENSTOCK_RETURN_IF_ERROR(CollectBelow(path, /*in_dataset=*/false, 0));
  }
  if (sources_.empty() && skipped_files_ == 0)
    return Error::NotFound("there is nothing to fetch here").In("/" + path);
  return {};
}

Status WarmJob::CollectFile(const std::string& path, const struct stat& status) {
  if (blocks_ || status.st_size == 0) return {};
  if (!IsSettled(status, services_.settle_time)) {
    ++skipped_files_;
    return {};
  }
  auto source = MakeFileSource(path, IdentityOf(status));
  services_.cache->Supersede(*source);
  total_bytes_ += source->file_bytes;
  ++file_count_;
  sources_.push_back(std::move(source));
  return {};
}

void WarmJob::CollectBlocks(const DatasetView& view) {
  for (const auto& block : view.blocks) {
    if (blocks_ && (block->block < blocks_->first || block->block > blocks_->second)) continue;
    total_bytes_ += block->file_bytes;
    ++block_count_;
    sources_.push_back(block);
  }
}

Status WarmJob::CollectBelow(const std::string& path, bool in_dataset, int depth) {
  if (depth > kDeepestFolder || *services_.stopping) return {};
  // The blocks are known from the dataset; their folders need not be listed.
  if (in_dataset && DatasetRegistry::DatasetOfBlockPath(path + "/")) return {};
  if (!in_dataset) {
    const auto view = services_.registry->Get(path);
    if (!view.ok() && view.error().kind() != ErrorKind::kNotFound) return view.error();
    in_dataset = view.ok();
    if (view.ok()) CollectBlocks(**view);
    if (view.ok() && blocks_) return {};
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto entries, services_.upstream->List(path));
  for (const DirectoryEntry& entry : entries) {
    const std::string below = Join(path, entry.name);
    mode_t type = entry.type;
    struct stat status {};
    if (type == 0 || type == S_IFREG) {
      const auto asked = services_.upstream->Stat(below);
      if (!asked.ok() && asked.error().kind() == ErrorKind::kNotFound) continue;
      if (!asked.ok()) return asked.error();
      status = *asked;
      type = status.st_mode & S_IFMT;
    }
    if (type == S_IFREG) {
      PENSTOCK_RETURN_IF_ERROR(CollectFile(below, status));
    } else if (type == S_IFDIR && (in_dataset || !entry.name.starts_with('.'))) {
      // (Outside of datasets a name with a dot is what an ingest is working on.)
      PENSTOCK_RETURN_IF_ERROR(CollectBelow(below, in_dataset, depth + 1));
    }
  }
  return {};
}

bool WarmJob::Tell(const char* phase, uint64_t bytes) {
  return report_({{"phase", phase},
                  {"bytes", bytes},
                  {"total_bytes", total_bytes_},
                  {"resident_bytes", resident_bytes_},
                  {"blocks", block_count_},
                  {"files", file_count_}});
}

Status WarmJob::Fetch() {
  // Of those that have not been looked at yet, what was there when the job began.
  std::vector<uint64_t> resident_from(sources_.size() + 1, 0);
  for (size_t i = sources_.size(); i-- > 0;) {
    resident_from[i] = resident_from[i + 1] + PresentBytes(*services_.cache, *sources_[i]);
  }
  bytes_ = resident_bytes_ = resident_from[0];
  auto shared = std::make_shared<Shared>();
  std::vector<size_t> in_flight;
  uint64_t done = 0;  // of the sources that have been dealt with
  size_t next = 0;
  if (!Tell("fetch", bytes_)) return Error::Cancelled("the client has gone");
  auto told = std::chrono::steady_clock::now();
  while (next < sources_.size() || !in_flight.empty()) {
    if (*services_.stopping) return Error::Cancelled("the daemon ends");
    while (in_flight.size() < services_.at_once && next < sources_.size()) {
      const size_t index = next++;
      const auto& source = sources_[index];
      if (services_.cache->ResidencyOf(*source).residency == Residency::kComplete) {
        done += source->file_bytes;
        continue;
      }
      in_flight.push_back(index);
      services_.cache->WhenComplete(services_.cache->Pin(source), kPatience,
                                    [shared, index](const Status& status) {
                                      const std::lock_guard lock(shared->mutex);
                                      shared->finished.emplace_back(index, status);
                                      shared->changed.notify_all();
                                    });
    }
    std::vector<std::pair<size_t, Status>> finished;
    {
      std::unique_lock lock(shared->mutex);
      if (!in_flight.empty()) {
        shared->changed.wait_for(lock, kBetweenReports, [&] { return !shared->finished.empty(); });
      }
      finished.swap(shared->finished);
    }
    for (const auto& [index, status] : finished) {
      std::erase(in_flight, index);
      done += PresentBytes(*services_.cache, *sources_[index]);
      if (!status.ok()) failures_.push_back(status.error().ToString());
    }
    if (const auto now = std::chrono::steady_clock::now(); now - told >= kBetweenReports) {
      told = now;
      bytes_ = done + resident_from[next];
      for (const size_t index : in_flight) {
        bytes_ += PresentBytes(*services_.cache, *sources_[index]);
      }
      if (!Tell("fetch", bytes_)) return Error::Cancelled("the client has gone");
    }
  }
  bytes_ = done;
  Tell("fetch", bytes_);
  return {};
}

Status WarmJob::Verify() {
  uint64_t passed = 0;
  auto told = std::chrono::steady_clock::now();
  for (const auto& source : sources_) {
    if (*services_.stopping) return Error::Cancelled("the daemon ends");
    const auto check = services_.cache->CheckReplica(source, [](uint64_t) { return true; });
    if (!check.ok()) {
      failures_.push_back(check.error().ToString());
    } else {
      verified_bytes_ += check->checked_bytes;
      damaged_extents_ += static_cast<int64_t>(check->damaged.size());
      healed_extents_ += check->healed_extents;
    }
    passed += source->file_bytes;
    if (const auto now = std::chrono::steady_clock::now(); now - told >= kBetweenReports) {
      told = now;
      if (!Tell("verify", passed)) return Error::Cancelled("the client has gone");
    }
  }
  Tell("verify", passed);
  return {};
}

Json WarmJob::Result() const {
  Json json = {{"bytes", bytes_},
               {"total_bytes", total_bytes_},
               {"resident_bytes", resident_bytes_},
               {"blocks", block_count_},
               {"files", file_count_},
               {"skipped_files", skipped_files_},
               {"failed", failures_.size()},
               {"verified_bytes", verified_bytes_},
               {"damaged_extents", damaged_extents_},
               {"healed_extents", healed_extents_},
               {"failures", Json::array()}};
  for (size_t i = 0; i < std::min(failures_.size(), kMostFailuresNamed); ++i) {
    json["failures"].push_back(failures_[i]);
  }
  return json;
}

}  // namespace penstock::cachefs
