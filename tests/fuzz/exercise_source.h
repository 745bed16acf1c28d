// What a source must stand, whatever its files hold: used by the fuzzers, by the replay of their
// finds and by the short mutation run in the suite.

#ifndef PENSTOCK_TESTS_FUZZ_EXERCISE_SOURCE_H_
#define PENSTOCK_TESTS_FUZZ_EXERCISE_SOURCE_H_

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

// What the format needs to be told.
OpenOptions OptionsOfFormat(std::string_view format);

// What a run came to; a source that breaks its contract aborts the process, saying how.
struct Exercise {
  bool opened = false;
  int64_t frames_decoded = 0;
  std::string error;  // why it was refused, where it was
};

// Writes the files (see file_set.h) into `folder`, which is emptied first, opens them with the
// named format and asks for the frames as the pipeline does: in several calls that must agree.
Exercise ExerciseSource(std::string_view format, std::span<const std::byte> input,
                        const std::filesystem::path& folder);

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_FUZZ_EXERCISE_SOURCE_H_
