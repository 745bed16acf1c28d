#include "tools/penstock/progress_display.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <thread>

#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

using Clock = std::chrono::steady_clock;

std::chrono::milliseconds RedrawInterval(ProgressStyle style) {
  switch (style) {
    case ProgressStyle::kTerminal:
      return std::chrono::milliseconds(200);
    case ProgressStyle::kPlain:
      return std::chrono::seconds(10);
    case ProgressStyle::kJson:
      return std::chrono::seconds(1);
  }
  return std::chrono::seconds(1);
}

class ProgressDisplay final : public ProgressSink {
 public:
  explicit ProgressDisplay(ProgressStyle style)
      : style_(style), drawing_([this](const std::stop_token& stop) { DrawUntil(stop); }) {}

  ~ProgressDisplay() override {
    drawing_.request_stop();
    drawing_.join();
    End();
  }

  void Begin(std::string_view phase, uint64_t total_bytes) override {
    End();
    const std::lock_guard lock(mutex_);
    phase_ = phase;
    total_ = total_bytes;
    done_.store(0, std::memory_order_relaxed);
    began_ = Clock::now();
    running_ = true;
    if (style_ == ProgressStyle::kTerminal) {
      Redraw();
    } else if (style_ == ProgressStyle::kPlain) {
      WriteLine(stderr, total_ > 0 ? fmt::format("{}: {}", phase_, FormatBytes(total_)) : phase_);
    } else {
      WriteLine(
          stdout,
          nlohmann::ordered_json{{"event", "begin"}, {"phase", phase_}, {"bytes", total_}}.dump());
    }
  }

  void Advance(uint64_t bytes) override { done_.fetch_add(bytes, std::memory_order_relaxed); }

  void Note(std::string_view message) override {
    const std::lock_guard lock(mutex_);
    if (style_ == ProgressStyle::kJson) {
      const nlohmann::ordered_json line = {{"event", "note"}, {"message", message}};
      WriteLine(stdout, line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      return;
    }
    EraseLine();
    WriteLine(stderr, message);
    if (running_ && style_ == ProgressStyle::kTerminal) Redraw();
  }

  void End() override {
    const std::lock_guard lock(mutex_);
    if (!running_) return;
    running_ = false;
    const uint64_t done = done_.load(std::memory_order_relaxed);
    const double seconds = Seconds();
    if (style_ == ProgressStyle::kJson) {
      WriteLine(stdout,
                nlohmann::ordered_json{
                    {"event", "end"}, {"phase", phase_}, {"done", done}, {"seconds", seconds}}
                    .dump());
      return;
    }
    EraseLine();
    WriteLine(stderr, fmt::format("{}: {} in {} ({})", phase_, FormatBytes(done),
                                  FormatDuration(seconds), FormatRate(done, seconds)));
  }

 private:
  void DrawUntil(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      wake_.wait_for(lock, stop, RedrawInterval(style_), [] { return false; });
      if (!stop.stop_requested() && running_) Redraw();
    }
  }

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

  // Callers hold the mutex.
  void Redraw() {
    const uint64_t done = done_.load(std::memory_order_relaxed);
    const double seconds = Seconds();
    if (style_ == ProgressStyle::kJson) {
      WriteLine(stdout, nlohmann::ordered_json{{"event", "progress"},
                                               {"phase", phase_},
                                               {"done", done},
                                               {"bytes", total_},
                                               {"seconds", seconds}}
                            .dump());
      return;
    }
    std::string line = fmt::format("{}: {}", phase_, FormatBytes(done));
    if (total_ > 0) {
      line += fmt::format(" of {} ({:.0f} %)", FormatBytes(total_),
                          100.0 * static_cast<double>(done) / static_cast<double>(total_));
    }
    if (seconds > 0.3 && done > 0) {
      line += fmt::format(", {}", FormatRate(done, seconds));
      if (total_ > done) {
        const double left =
            seconds * static_cast<double>(total_ - done) / static_cast<double>(done);
        line += fmt::format(", {} left", FormatDuration(left));
      }
    }
    if (style_ == ProgressStyle::kTerminal) {
      std::fprintf(stderr, "\r\033[K%s", line.c_str());
      std::fflush(stderr);
    } else {
      WriteLine(stderr, line);
    }
  }

  void EraseLine() {
    if (style_ == ProgressStyle::kTerminal) std::fputs("\r\033[K", stderr);
  }

  static void WriteLine(std::FILE* stream, std::string_view text) {
    std::fprintf(stream, "%.*s\n", static_cast<int>(text.size()), text.data());
    std::fflush(stream);
  }

  const ProgressStyle style_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::string phase_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
  Clock::time_point began_;
  bool running_ = false;
  std::jthread drawing_;  // last, so that everything it draws exists
};

}  // namespace

ProgressStyle ChooseProgressStyle(bool json) {
  if (json) return ProgressStyle::kJson;
  return isatty(STDERR_FILENO) == 1 ? ProgressStyle::kTerminal : ProgressStyle::kPlain;
}

std::unique_ptr<ProgressSink> MakeProgressDisplay(ProgressStyle style) {
  return std::make_unique<ProgressDisplay>(style);
}

}  // namespace penstock::tools
