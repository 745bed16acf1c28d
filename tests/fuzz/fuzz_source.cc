// The libFuzzer target of the vendor formats. PENSTOCK_FUZZ_FORMAT in the environment says which
// one (by its name in the registry); without it the names are listed.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "penstock/ingest/registry.h"
#include "tests/fuzz/exercise_source.h"

namespace {

std::string format;            // NOLINT: libFuzzer calls functions
std::filesystem::path folder;  // NOLINT

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  const char* const chosen = std::getenv("PENSTOCK_FUZZ_FORMAT");
  if (chosen == nullptr) {
    for (const auto* known : penstock::ingest::AllFormats()) {
      std::printf("%s\n", std::string(known->name()).c_str());
    }
    std::exit(0);
  }
  format = chosen;
  folder = std::filesystem::path("/dev/shm") / ("penstock-fuzz-" + std::to_string(getpid()));
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::ingest::ExerciseSource(format, std::as_bytes(std::span(data, size)), folder);
  return 0;
}
