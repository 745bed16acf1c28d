#include "cachefs/fuse/held_opens.h"

namespace penstock::cachefs {

void HeldOpens::SentBack(pid_t thread, const std::string& path, Clock::time_point now) {
  std::map<std::pair<pid_t, std::string>, Awaited> dropped;  // closed without the lock
  const std::lock_guard lock(mutex_);
  for (auto each = awaited_.begin(); each != awaited_.end();) {
    const auto next = std::next(each);
    if (now - each->second.since >= kPatience) dropped.insert(awaited_.extract(each));
    each = next;
  }
  awaited_[{thread, path}].since = now;
}

bool HeldOpens::IsAwaited(pid_t thread, const std::string& path, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (awaited_.empty()) return false;  // as a rule
  const auto found = awaited_.find({thread, path});
  return found != awaited_.end() && now - found->second.since < kPatience;
}

void HeldOpens::Hold(pid_t thread, const std::string& path, HeldOpen open) {
  std::optional<HeldOpen> dropped;
  const std::lock_guard lock(mutex_);
  const auto found = awaited_.find({thread, path});
  if (found == awaited_.end()) return;
  dropped = std::exchange(found->second.held, std::move(open));
}

std::optional<HeldOpen> HeldOpens::Take(pid_t thread, const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (awaited_.empty()) return std::nullopt;
  auto found = awaited_.extract({thread, path});
  return found.empty() ? std::nullopt : std::move(found.mapped().held);
}

size_t HeldOpens::size() const {
  const std::lock_guard lock(mutex_);
  return awaited_.size();
}

}  // namespace penstock::cachefs
