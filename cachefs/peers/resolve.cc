#include "cachefs/peers/resolve.h"

#include <sys/socket.h>

#include <algorithm>
#include <ctime>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace penstock::cachefs {

namespace {

// A question to the resolver of libc, which runs on a thread of its own.
struct Question {
  explicit Question(HostAndPort asked) : name(std::move(asked)) {
    hints.ai_socktype = SOCK_STREAM;
    request.ar_name = name.host.c_str();
    request.ar_service = name.port.c_str();
    request.ar_request = &hints;
  }
  ~Question() {
    if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
  }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  const HostAndPort name;
  addrinfo hints{};
  gaicb request{};
};

// Questions that nobody waits for any more; the resolver still writes into them.
class AbandonedQuestions {
 public:
  void Add(std::unique_ptr<Question> question) {
    const std::lock_guard lock(mutex_);
    std::erase_if(questions_,
                  [](const auto& each) { return gai_error(&each->request) != EAI_INPROGRESS; });
    questions_.push_back(std::move(question));
  }
  // A name server that does not answer is not asked without end.
  bool too_many() {
    const std::lock_guard lock(mutex_);
    std::erase_if(questions_,
                  [](const auto& each) { return gai_error(&each->request) != EAI_INPROGRESS; });
    return questions_.size() >= kMost;
  }

 private:
  static constexpr size_t kMost = 64;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Question>> questions_;
};

AbandonedQuestions& Abandoned() {
  // Never destroyed: the resolver's threads may outlive everything else.
  static auto* const questions = new AbandonedQuestions;
  return *questions;
}

Error NoAddress(const HostAndPort& name, int failure) {
  return Error(ErrorKind::kIo, "cannot find the host").In(name.host).Found(gai_strerror(failure));
}

}  // namespace

Result<Addresses> Resolve(const HostAndPort& name, std::chrono::steady_clock::time_point deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.host.c_str(), name.port.c_str(), &hints, &found) == 0) {
    return Addresses(found);
  }
  if (Abandoned().too_many()) return Error::Timeout("name servers do not answer").In(name.host);
  auto question = std::make_unique<Question>(name);
  gaicb* list[] = {&question->request};
  const int begun = getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr);
  if (begun != 0) return NoAddress(name, begun);
  while (gai_error(&question->request) == EAI_INPROGRESS) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      gai_cancel(&question->request);
      Abandoned().Add(std::move(question));
      return Error::Timeout("name servers did not answer in time").In(name.host);
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec wait{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    const gaicb* waited[] = {&question->request};
    gai_suspend(waited, 1, &wait);
  }
  const int failure = gai_error(&question->request);
  if (failure != 0) return NoAddress(name, failure);
  return Addresses(std::exchange(question->request.ar_result, nullptr));
}

}  // namespace penstock::cachefs
