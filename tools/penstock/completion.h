// Whether an acquisition says of itself that it is complete.

#ifndef PENSTOCK_TOOLS_COMPLETION_H_
#define PENSTOCK_TOOLS_COMPLETION_H_

#include <string>

#include "penstock/ingest/frame_source.h"

namespace penstock::tools {

struct Completion {
  // The vendor's mark is there: as many frames as a header states, or the file that is written
  // beside the frames, or a format whose files say themselves what they hold.
  bool is_marked = false;
  std::string missing_mark;  // what is waited for, where it is not
};

Completion CompletionOf(const ingest::SourceDescription& source);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_COMPLETION_H_
