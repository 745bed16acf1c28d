#include "cachefs/upstream/store_presence.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kBetweenProbes{1};
constexpr int kAwayErrno = EHOSTDOWN;

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Error StoreIsAway(const std::string& store, const std::string& why) {
  return Error::FromErrno(kAwayErrno, "the store is away (" + why + ")").In(store);
}

bool IsStoreAway(const Error& error) { return error.system_errno() == kAwayErrno; }

bool RaisesDoubt(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::kIo:
      // (ENXIO: there are no data, or no hole, any more.)
      return error.system_errno() != EINVAL && error.system_errno() != EISDIR &&
             error.system_errno() != ENXIO;
    case ErrorKind::kTimeout:
    case ErrorKind::kBusy:
      return true;
    default:
      return false;
  }
}

Status LookAtStore(Upstream& store, bool must_hold_something) {
  // A refusal is an answer.
  const auto root = store.Stat("");
  if (!root.ok() && root.error().kind() != ErrorKind::kPermission) return root.error();
  if (!must_hold_something) return {};
  const auto entries = store.List("");
  // There are servers that list nothing.
  if (!entries.ok()) return RaisesDoubt(entries.error()) ? Status(entries.error()) : Status();
  if (!entries->empty()) return {};
  return Error(ErrorKind::kIo, "the store is empty")
      .In(store.Name())
      .Advice("check whether it is mounted");
}

struct StorePresence::State {
  std::shared_ptr<Upstream> store;
  std::chrono::milliseconds patience{};
  std::atomic<bool> away{false};
  std::atomic<bool> expects_something{false};

  std::mutex mutex;
  std::condition_variable changed;
  uint64_t asked = 0;     // doubts so far
  uint64_t answered = 0;  // of which a look that began after them has dealt with
  bool looking = false;
  bool stopping = false;
  bool ended = false;
  std::string why;
  double since = Now();

  // `mutex` is held.
  void Set(bool is_away, std::string reason) {
    why = std::move(reason);
    if (away.exchange(is_away) == is_away) return;
    const double before = std::exchange(since, Now());
    if (is_away) {
      spdlog::warn("the store is away, what is in the cache is still shown: {}", why);
    } else {
      spdlog::info("the store is there again, after {:.0f} s", since - before);
    }
    changed.notify_all();
  }

  void Run() {
    std::unique_lock lock(mutex);
    Watch(lock);
    ended = true;
    changed.notify_all();
  }

  void Watch(std::unique_lock<std::mutex>& lock) {
    while (true) {
      const auto wanted = [this] { return stopping || asked > answered; };
      if (away) {
        changed.wait_for(lock, kBetweenProbes, wanted);
      } else {
        changed.wait(lock, wanted);
      }
      if (stopping) return;
      const uint64_t dealt_with = asked;
      looking = true;
      lock.unlock();
      const Status look = LookAtStore(*store, expects_something);
      lock.lock();
      looking = false;
      answered = dealt_with;
      if (stopping) return;
      Set(!look.ok(), look.ok() ? "" : look.error().ToString());
      changed.notify_all();
    }
  }
};

StorePresence::StorePresence(std::shared_ptr<Upstream> store, std::chrono::milliseconds patience)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->patience = patience;
  thread_ = std::thread([state = state_] { state->Run(); });
}

StorePresence::~StorePresence() {
  if (!End(std::chrono::milliseconds(0))) thread_.detach();
}

bool StorePresence::End(std::chrono::milliseconds patience) {
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    if (!state_->changed.wait_for(lock, patience, [this] { return state_->ended; })) return false;
  }
  thread_.join();
  return true;
}

bool StorePresence::away() const { return state_->away; }

Error StorePresence::WhyAway() const {
  const std::lock_guard lock(state_->mutex);
  return StoreIsAway(state_->store->Name(), state_->why);
}

void StorePresence::ExpectSomething() { state_->expects_something = true; }
bool StorePresence::expects_something() const { return state_->expects_something; }

bool StorePresence::Doubt() { return away() || Look(); }

bool StorePresence::Look() {
  std::unique_lock lock(state_->mutex);
  const uint64_t ticket = ++state_->asked;
  state_->changed.notify_all();
  const bool settled = state_->changed.wait_for(
      lock, state_->patience, [&] { return state_->answered >= ticket || state_->stopping; });
  if (!settled && !state_->away) {
    state_->Set(true, fmt::format("{}: no answer for {:.3g} s", state_->store->Name(),
                                  std::chrono::duration<double>(state_->patience).count()));
  }
  return state_->away;
}

Json StorePresence::Describe() const {
  const std::lock_guard lock(state_->mutex);
  return {{"state", state_->away ? "away" : "there"},
          {"since", state_->since},
          {"reason", state_->away ? state_->why : ""}};
}

double StorePresence::since() const {
  const std::lock_guard lock(state_->mutex);
  return state_->since;
}

bool StorePresence::WaitIdle(std::chrono::milliseconds patience) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, patience, [this] { return !state_->looking; });
}

}  // namespace penstock::cachefs
