// What the decoder of compressed blocks must stand, whatever a block file holds: used by the fuzzer
// and by the short mutation run in the suite.

#ifndef PENSTOCK_TESTS_FUZZ_EXERCISE_CHUNKS_H_
#define PENSTOCK_TESTS_FUZZ_EXERCISE_CHUNKS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace penstock {

// The input: a byte that chooses shape and element type, a byte that says what follows: 0: the
// bytes of a block file; else, 2 bytes (little-endian) per inner chunk, its size, and the chunks
// themselves, to which a right index is made.
struct ChunkExercise {
  bool index_parsed = false;
  int chunks_decoded = 0;  // without an error
  int chunks_refused = 0;
};
// A decoder that breaks its contract aborts the process, saying how.
ChunkExercise ExerciseChunks(std::span<const std::byte> input);

// An input that decodes, of the n-th shape and element type.
std::string ChunkSeed(uint8_t choice, bool zstd, bool whole_file);
inline constexpr uint8_t kChunkChoices = 8;

}  // namespace penstock

#endif  // PENSTOCK_TESTS_FUZZ_EXERCISE_CHUNKS_H_
