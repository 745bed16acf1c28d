#include "cachefs/cache/disk_health.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace penstock::cachefs {

namespace {

const char* NameOf(DiskHealth::State state) {
  switch (state) {
    case DiskHealth::State::kNormal:
      return "normal";
    case DiskHealth::State::kDoubtful:
      return "doubtful";
    case DiskHealth::State::kOff:
      return "off";
  }
  return "";
}

}  // namespace

DiskHealth::DiskHealth(Probe probe, Options options)
    : probe_(std::move(probe)), options_(options) {}

DiskHealth::~DiskHealth() {
  watcher_.request_stop();
  prober_.request_stop();
}

void DiskHealth::Start() {
  threads_ = 2;
  watcher_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
  prober_ = std::jthread([this](const std::stop_token& stop) { ProbeDisk(stop); });
}

bool DiskHealth::Stop(std::chrono::milliseconds patience) {
  watcher_.request_stop();
  prober_.request_stop();
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return threads_ == 0; });
}

void DiskHealth::Failed(const Error& error) {
  if (error.kind() == ErrorKind::kNoSpace) return;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  failures_.push_back(now);
  while (now - failures_.front() > options_.window) failures_.pop_front();
  if (state_ == State::kNormal && static_cast<int>(failures_.size()) >= options_.most_failures) {
    EnterLocked(State::kDoubtful, error.ToString());
  }
}

DiskHealth::Wait::Wait(DiskHealth* health) : health_(health) {
  if (health_ == nullptr) return;
  const std::lock_guard lock(health_->mutex_);
  place_ = health_->waits_.insert(health_->waits_.end(), Clock::now());
}

DiskHealth::Wait::~Wait() {
  if (health_ == nullptr) return;
  const std::lock_guard lock(health_->mutex_);
  // It may be one of those at the front that were found stuck.
  if (Clock::now() - *place_ > health_->options_.longest_wait && health_->known_stuck_ > 0) {
    --health_->known_stuck_;
  }
  health_->waits_.erase(place_);
}

void DiskHealth::EnterLocked(State state, const std::string& reason) {
  if (state_ == state) return;
  if (state == State::kNormal) {
    spdlog::warn("the cache disk is used again");
  } else {
    spdlog::error("the cache disk is {} and not used for now: {}", NameOf(state), reason);
  }
  state_.store(state, std::memory_order_release);
  since_ = std::chrono::system_clock::now();
  reason_ = state == State::kNormal ? "" : reason;
  good_probes_ = 0;
  bad_probes_ = 0;
  failures_.clear();
  changed_.notify_all();
}

void DiskHealth::Watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_for(lock, stop, options_.longest_wait / 4, [] { return false; });
    if (stop.stop_requested()) break;
    const auto now = Clock::now();
    size_t stuck = 0;
    for (const auto begun : waits_) {
      if (now - begun <= options_.longest_wait) break;
      ++stuck;
    }
    const size_t more = stuck > known_stuck_ ? stuck - known_stuck_ : 0;
    known_stuck_ = std::max(known_stuck_, stuck);
    if (stuck > 0 && state_ == State::kNormal) {
      EnterLocked(State::kDoubtful, "it does not answer");
    }
    // A probe that hangs is one that fails.
    if (probing_ && now - probe_began_ > options_.longest_wait) {
      probe_began_ = now;
      good_probes_ = 0;
      if (++bad_probes_ >= options_.probes_to_off) EnterLocked(State::kOff, "it does not answer");
    }
    lock.unlock();
    for (size_t i = 0; i < more && on_stuck_; ++i) on_stuck_();
    lock.lock();
  }
  --threads_;
  changed_.notify_all();
}

void DiskHealth::ProbeDisk(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (state_ == State::kNormal) {
      changed_.wait(lock, stop, [this] { return state_ != State::kNormal; });
    } else {
      const auto pause = state_ == State::kOff ? options_.off_pause : options_.probe_pause;
      changed_.wait_for(lock, stop, pause, [] { return false; });
    }
    if (stop.stop_requested() || state_ == State::kNormal) continue;
    probing_ = true;
    probe_began_ = Clock::now();
    const auto began = probe_began_;
    lock.unlock();
    const Status probed = probe_();
    lock.lock();
    probing_ = false;
    const bool slow = Clock::now() - began > options_.longest_wait;
    if (probed.ok() || probed.error().kind() == ErrorKind::kNoSpace) {
      // A full disk answers.
      if (slow) {
        good_probes_ = 0;
      } else if (++good_probes_ >= options_.probes_to_normal) {
        EnterLocked(State::kNormal, "");
      }
    } else {
      good_probes_ = 0;
      if (++bad_probes_ >= options_.probes_to_off) {
        EnterLocked(State::kOff, probed.error().ToString());
      }
    }
  }
  --threads_;
  changed_.notify_all();
}

Json DiskHealth::Describe() const {
  const std::lock_guard lock(mutex_);
  return {{"state", NameOf(state_)},
          {"since",
           std::chrono::duration_cast<std::chrono::seconds>(since_.time_since_epoch()).count()},
          {"reason", reason_},
          {"probes_failed", bad_probes_}};
}

}  // namespace penstock::cachefs
