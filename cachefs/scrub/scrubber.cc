#include "cachefs/scrub/scrubber.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "cachefs/state/checked_json.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kPause{10};  // before what is away is asked again
constexpr std::chrono::seconds kBetweenSaves{5};
constexpr uint64_t kMostReportBytes = uint64_t{16} << 20;

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string AsText(int64_t time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(time)));
}

// Readers go first.
void YieldTheDisk() {
  constexpr int kThisThread = 1;  // IOPRIO_WHO_PROCESS
  constexpr int kIdle = 3 << 13;  // IOPRIO_CLASS_IDLE
  syscall(SYS_ioprio_set, kThisThread, 0, kIdle);
}

ScrubPass PassFromJson(const Json& json) {
  ScrubPass pass;
  json.at("number").get_to(pass.number);
  json.at("position").get_to(pass.position);
  json.at("began").get_to(pass.began);
  if (!json.at("ended").is_null()) pass.ended = json.at("ended").get<int64_t>();
  json.at("replicas").get_to(pass.replicas);
  json.at("bytes").get_to(pass.bytes);
  json.at("damaged_extents").get_to(pass.damaged_extents);
  json.at("healed_extents").get_to(pass.healed_extents);
  json.at("quarantined_replicas").get_to(pass.quarantined_replicas);
  json.at("evicted_replicas").get_to(pass.evicted_replicas);
  json.at("unchecked_replicas").get_to(pass.unchecked_replicas);
  return pass;
}

// A state that cannot be read only means that the next pass begins at the beginning.
ScrubPass LoadPass(const std::filesystem::path& file) {
  const auto json = ReadCheckedJson(
      file, {"number", "position", "began", "ended", "replicas", "bytes", "damaged_extents",
             "healed_extents", "quarantined_replicas", "evicted_replicas", "unchecked_replicas"});
  if (!json.ok() && json.error().kind() == ErrorKind::kNotFound) return {};
  try {
    if (json.ok()) return PassFromJson(*json);
  } catch (const Json::exception&) {
  }
  spdlog::warn("{}: the state of the scrub cannot be read; it begins anew", file.string());
  return {};
}

}  // namespace

Json ToJson(const ScrubPass& pass) {
  return {{"number", pass.number},
          {"position", pass.position},
          {"began", pass.began},
          {"ended", pass.ended ? Json(*pass.ended) : Json()},
          {"replicas", pass.replicas},
          {"bytes", pass.bytes},
          {"damaged_extents", pass.damaged_extents},
          {"healed_extents", pass.healed_extents},
          {"quarantined_replicas", pass.quarantined_replicas},
          {"evicted_replicas", pass.evicted_replicas},
          {"unchecked_replicas", pass.unchecked_replicas}};
}

Scrubber::Scrubber(const std::filesystem::path& directory, ScrubServices services,
                   ScrubOptions options)
    : state_file_(directory / "scrub.json"),
      report_file_(directory / "scrub-report.jsonl"),
      services_(std::move(services)),
      every_(options.every),
      bytes_per_second_(options.bytes_per_second),
      pass_(LoadPass(state_file_)) {
  running_ = pass_.number > 0 && !pass_.ended;
  if (pass_.began == 0) {
    pass_.began = Now();  // of the cache, until there is a pass
    Save();
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

Scrubber::~Scrubber() {
  thread_.request_stop();
  thread_.join();
}

bool Scrubber::Stop(std::chrono::milliseconds patience) {
  thread_.request_stop();
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, patience, [this] { return ended_; });
}

Status Scrubber::Start() {
  const std::lock_guard lock(mutex_);
  if (running_) return Error::Busy("a scrub is under way");
  if (pass_.number == 0 || pass_.ended) {
    const int64_t number = pass_.number + 1;
    pass_ = {};
    pass_.number = number;
    pass_.began = Now();
  }
  running_ = true;
  wake_.notify_all();
  return {};
}

Status Scrubber::Pause() {
  const std::lock_guard lock(mutex_);
  if (!running_) return Error::InvalidArgument("no scrub is under way");
  running_ = false;
  wake_.notify_all();
  return {};
}

void Scrubber::SetRate(uint64_t bytes_per_second) {
  const std::lock_guard lock(mutex_);
  bytes_per_second_ = bytes_per_second;
  next_extent_ = {};
  wake_.notify_all();
}

Json Scrubber::Describe() const {
  const std::lock_guard lock(mutex_);
  const bool unfinished = pass_.number > 0 && !pass_.ended;
  Json json;
  json["state"] = running_ && !waiting_for_.empty() ? "waiting"
                  : running_                        ? "running"
                  : unfinished                      ? "paused"
                                                    : "idle";
  json["waiting_for"] = waiting_for_;
  json["pass"] = pass_.number > 0 ? ToJson(pass_) : Json();
  json["total_bytes"] = total_bytes_;
  json["bytes_per_second"] = bytes_per_second_;
  json["every_seconds"] = every_.count();
  json["next"] = every_.count() > 0 && pass_.ended ? Json(pass_.began + every_.count()) : Json();
  json["report"] = report_file_.string();
  return json;
}

void Scrubber::Run(const std::stop_token& stop) {
  YieldTheDisk();
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      if (every_.count() == 0 || (pass_.number > 0 && !pass_.ended)) {
        wake_.wait(lock, stop, [this] { return running_; });
      } else {
        // The first pass of a new cache comes when it is as old as they are apart.
        wake_.wait_until(
            lock, stop,
            std::chrono::system_clock::time_point(std::chrono::seconds(pass_.began) + every_),
            [this] { return running_; });
      }
    }
    if (stop.stop_requested()) break;
    if (const Status begun = Start(); !begun.ok() && begun.error().kind() != ErrorKind::kBusy) {
      spdlog::error("{}", begun.error().ToString());
    }
    RunPass(stop);
    Save();
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  wake_.notify_all();
}

void Scrubber::RunPass(const std::stop_token& stop) {
  std::vector<HeldReplica> everything = services_.cache->Everything();
  std::string position;
  int64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    position = pass_.position;
    number = pass_.number;
    total_bytes_ = 0;
    for (const auto& held : everything) total_bytes_ += held.bytes;
  }
  if (position.empty()) Report({{"event", "begun"}, {"pass", number}});
  auto saved = std::chrono::steady_clock::now();
  auto next = std::ranges::upper_bound(everything, position, {}, &HeldReplica::id);
  for (; next != everything.end(); ++next) {
    if (!ScrubOne(*next, stop)) return;
    {
      const std::lock_guard lock(mutex_);
      pass_.position = next->id;
    }
    if (std::chrono::steady_clock::now() - saved >= kBetweenSaves) {
      Save();
      saved = std::chrono::steady_clock::now();
    }
  }
  Json line;
  {
    const std::lock_guard lock(mutex_);
    pass_.ended = Now();
    line = ToJson(pass_);
  }
  line.erase("position");
  line["event"] = "finished";
  line["pass"] = number;
  // Whoever waits for the end finds it in the report.
  Report(std::move(line));
  const std::lock_guard lock(mutex_);
  running_ = false;
}

bool Scrubber::ScrubOne(const HeldReplica& held, const std::stop_token& stop) {
  if (held.block == kUnknownBlock) {
    const std::lock_guard lock(mutex_);
    ++pass_.unchecked_replicas;
    return running_ && !stop.stop_requested();
  }
  // While the store is away or the disk sick the pass waits.
  while (true) {
    const Status scrubbed = ScrubNow(held, stop);
    std::unique_lock lock(mutex_);
    if (scrubbed.ok()) return running_ && !stop.stop_requested();
    if (scrubbed.error().kind() == ErrorKind::kCancelled) return false;
    spdlog::warn("the scrub waits: {}", scrubbed.error().ToString());
    waiting_for_ = scrubbed.error().ToString();
    wake_.wait_for(lock, stop, kPause, [this] { return !running_; });
    waiting_for_.clear();
    if (!running_ || stop.stop_requested()) return false;
  }
}

Status Scrubber::ScrubNow(const HeldReplica& held, const std::stop_token& stop) {
  const auto resolved = Resolve(held);
  if (!resolved.ok() && resolved.error().kind() == ErrorKind::kCorrupt) {
    // A dataset that is damaged in the store is not waited for.
    spdlog::error("{} cannot be scrubbed: {}", held.dataset, resolved.error().ToString());
    const std::lock_guard lock(mutex_);
    ++pass_.unchecked_replicas;
    return {};
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto source, resolved);
  // What is remembered of a store that is away is no ground for anything here.
  if (services_.presence->away() && services_.presence->Look()) {
    return services_.presence->WhyAway();
  }
  if (source == nullptr) {
    // What was pinned may come back.
    const bool kept = services_.policy->IsKept(held.dataset, held.block);
    const bool evicted = !kept && services_.cache->Evict(held.id);
    const std::lock_guard lock(mutex_);
    ++(evicted ? pass_.evicted_replicas : pass_.unchecked_replicas);
    return {};
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      const ReplicaCheck check,
      services_.cache->CheckReplica(source, [&](uint64_t bytes) { return Throttle(bytes, stop); }));
  int64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = pass_.number;
    ++pass_.replicas;
    pass_.bytes += check.checked_bytes;
    pass_.damaged_extents += check.damaged.size();
    pass_.healed_extents += static_cast<uint64_t>(check.healed_extents);
    if (check.quarantined) ++pass_.quarantined_replicas;
  }
  for (const auto& damage : check.damaged) {
    Report({{"event", "damage"},
            {"pass", number},
            {"path", source->path},
            {"generation", source->generation},
            {"replica", source->id},
            {"extent", damage.extent},
            {"offset", source->extent_start(damage.extent)},
            {"expected_xxh3", fmt::format("{:016x}", damage.expected)},
            {"found_xxh3", damage.found ? Json(fmt::format("{:016x}", *damage.found)) : Json()},
            {"healed", damage.healed},
            {"quarantined", check.quarantined}});
  }
  return {};
}

Result<std::shared_ptr<const BlockSource>> Scrubber::Resolve(const HeldReplica& held) {
  std::shared_ptr<const BlockSource> source;
  if (held.block == kNoBlock) {
    const auto status = services_.upstream->Stat(held.dataset);
    if (!status.ok() && status.error().kind() != ErrorKind::kNotFound) return status.error();
    if (status.ok()) source = MakeFileSource(held.dataset, IdentityOf(*status));
  } else {
    const auto view = services_.registry->Get(held.dataset);
    if (!view.ok() && view.error().kind() != ErrorKind::kNotFound) return view.error();
    if (view.ok() && static_cast<size_t>(held.block) < (*view)->blocks.size()) {
      source = (*view)->blocks[static_cast<size_t>(held.block)];
    }
  }
  if (source != nullptr && source->id == held.id) return source;
  // A store that is not mounted looks like one from which everything was removed.
  services_.presence->ExpectSomething();
  if (services_.presence->Doubt()) return services_.presence->WhyAway();
  return std::shared_ptr<const BlockSource>();
}

bool Scrubber::Throttle(uint64_t bytes, const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  std::unique_lock lock(mutex_);
  if (bytes_per_second_ > 0) {
    const auto pause = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
        static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
    next_extent_ = std::max(next_extent_ + pause, Clock::now());
    wake_.wait_until(lock, stop, next_extent_, [this] { return !running_; });
  }
  return running_ && !stop.stop_requested();
}

void Scrubber::Save() {
  Json state;
  {
    const std::lock_guard lock(mutex_);
    state = ToJson(pass_);
  }
  if (const Status saved = WriteCheckedJson(state_file_, state); !saved.ok()) {
    spdlog::warn("the position of the scrub cannot be written down: {}", saved.error().ToString());
  }
}

void Scrubber::Report(Json line) const {
  line["time"] = AsText(Now());
  for (const char* const key : {"began", "ended"}) {
    if (line.contains(key) && line[key].is_number()) line[key] = AsText(line[key].get<int64_t>());
  }
  std::error_code failure;
  if (std::filesystem::file_size(report_file_, failure) > kMostReportBytes && !failure) {
    std::filesystem::rename(report_file_, report_file_.string() + ".1", failure);
  }
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const auto file = OpenFile(report_file_, O_WRONLY | O_CREAT | O_APPEND, 0640);
  if (!file.ok() ||
      write(file->get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    spdlog::error("cannot write {}: {}", report_file_.string(), text);
  }
}

}  // namespace penstock::cachefs
