#include "cachefs/cache/block_source.h"

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

std::string ReplicaId(const std::string& dataset, const std::string& generation, int64_t block) {
  std::string name = dataset;
  name.push_back('\0');
  name += generation;
  name.push_back('\0');
  name += std::to_string(block);
  return HashBytes(AsBytes(name));
}

}  // namespace penstock::cachefs
