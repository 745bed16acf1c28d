// The libFuzzer target of the sidecar: nexus.json as anybody may have left it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "penstock/dataset/dataset.h"
#include "penstock/dataset/faces.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto dataset = penstock::Dataset::FromNexusJson("/nonexistent", text);
  if (dataset.ok()) {
    for (size_t block = 0; block < dataset->blocks().size() && block < 16; ++block) {
      (void)dataset->LayoutOfBlock(static_cast<int64_t>(block));
    }
    // The header of the contiguous data.nxs is made of it, or is an error, and never another one
    // than was foretold.
    const auto bytes = penstock::NexusFaceHeaderBytes(dataset->nexus(), dataset->shape());
    if (bytes.ok() && *bytes <= penstock::kNexusFaceAlignment) {
      const auto header = penstock::MakeNexusFaceHeader(dataset->nexus(), dataset->shape());
      if (!header.ok() && header.error().kind() == penstock::ErrorKind::kInternal) __builtin_trap();
    }
  }
  return 0;
}
