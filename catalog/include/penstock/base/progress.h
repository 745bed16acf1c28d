// Progress of long operations, and how they are cancelled.
//
// Libraries report to a ProgressSink; only tools decide how it is shown (terminal, plain lines,
// JSON). Implementations are thread-safe.

#ifndef PENSTOCK_BASE_PROGRESS_H_
#define PENSTOCK_BASE_PROGRESS_H_

#include <cstdint>
#include <string_view>

namespace penstock {

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;

  // A new phase ("ingest scan_0042", "verify") of `total_bytes`; 0 where unknown.
  virtual void Begin(std::string_view phase, uint64_t total_bytes) = 0;
  // `bytes` more of the phase are done. Called often; must be cheap.
  virtual void Advance(uint64_t bytes) = 0;
  // Something the user should read now: a warning, an anomaly.
  virtual void Note(std::string_view message) = 0;
  virtual void End() = 0;
};

// Drops everything.
class SilentProgress final : public ProgressSink {
 public:
  void Begin(std::string_view, uint64_t) override {}
  void Advance(uint64_t) override {}
  void Note(std::string_view) override {}
  void End() override {}
};

}  // namespace penstock

#endif  // PENSTOCK_BASE_PROGRESS_H_
