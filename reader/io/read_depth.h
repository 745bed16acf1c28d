// ReadDepth: how many reads are kept under way. More are tried as long as they bring more.

#ifndef PENSTOCK_READER_IO_READ_DEPTH_H_
#define PENSTOCK_READER_IO_READ_DEPTH_H_

#include <cstdint>

namespace penstock {

// Begins with a depth that suits one local SSD, doubles it while the rate grows by a tenth or more,
// and stays with the last one that did. Disks that change are tried anew now and then. Not
// thread-safe.
class ReadDepth {
 public:
  // `most`: what the buffers hold. `fixed`: `initial` is kept.
  ReadDepth(int initial, int most, bool fixed);

  int depth() const { return depth_; }

  // Bytes that came in within `seconds`. `waited`: the caller had to wait for them: only then does
  // the rate tell anything about the disk.
  void Observe(uint64_t bytes, double seconds, bool waited);

 private:
  void Finish(double rate);

  const int initial_;
  const int most_;
  const bool fixed_;
  int depth_;
  uint64_t bytes_ = 0;  // of the window
  double seconds_ = 0;
  bool warm_ = false;        // the first window after a change is not counted
  bool trying_ = false;      // depth_ is on trial
  double settled_rate_ = 0;  // at depth_, or at half of it while that is on trial; 0: not known
  int windows_settled_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_READ_DEPTH_H_
