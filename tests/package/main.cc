// Opens a dataset with the installed library and prints its shape and the sum of its first frame.

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "penstock/reader/reader.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const penstock::Result<penstock::Reader> reader = penstock::Reader::Open(argv[1]);
  if (!reader.ok()) {
    std::fprintf(stderr, "%s\n", reader.error().ToString().c_str());
    return 1;
  }
  const penstock::DatasetShape& shape = reader->shape();
  const auto frame = reader->ReadFrame(0);
  if (!frame.ok() || shape.element_type != penstock::ElementType::kUint16) return 1;
  uint64_t sum = 0;
  for (size_t i = 0; i < frame->size(); i += sizeof(uint16_t)) {
    uint16_t pixel = 0;
    std::memcpy(&pixel, frame->data() + i, sizeof pixel);
    sum += pixel;
  }
  std::printf("%lld %lld %lld %lld %llu\n", static_cast<long long>(shape.scan.rows),
              static_cast<long long>(shape.scan.columns), static_cast<long long>(shape.signal.rows),
              static_cast<long long>(shape.signal.columns), static_cast<unsigned long long>(sum));
  return 0;
}
