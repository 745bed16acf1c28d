// The libFuzzer target of the sidecar: nexus.json as anybody may have left it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "penstock/dataset/dataset.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto dataset = penstock::Dataset::FromNexusJson("/nonexistent", text);
  if (dataset.ok()) {
    for (size_t block = 0; block < dataset->blocks().size() && block < 16; ++block) {
      (void)dataset->LayoutOfBlock(static_cast<int64_t>(block));
    }
  }
  return 0;
}
