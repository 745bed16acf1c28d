// The libFuzzer target of compressed blocks: their index and their chunks as anybody may have left
// them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/exercise_chunks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::ExerciseChunks(std::as_bytes(std::span(data, size)));
  return 0;
}
