#include "cachefs/cache/block_source.h"

#include <fmt/format.h>

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

std::string_view FolderOf(std::string_view dataset, int64_t block) {
  const size_t slash = dataset.find('/');
  if (slash != std::string_view::npos) return dataset.substr(0, slash);
  return block >= 0 ? dataset : std::string_view();
}

bool IsSettled(const struct stat& status, std::chrono::milliseconds settle_time) {
  const auto changed = std::chrono::seconds(status.st_ctim.tv_sec) +
                       std::chrono::nanoseconds(status.st_ctim.tv_nsec);
  return changed + settle_time <= std::chrono::system_clock::now().time_since_epoch();
}

std::shared_ptr<const BlockSource> MakeFileSource(const std::string& path,
                                                  const FileIdentity& identity) {
  auto source = std::make_shared<BlockSource>();
  source->dataset = path;
  // Without the device, whose number changes from mount to mount of the store.
  source->generation = fmt::format("file {} {} {} {}", identity.inode, identity.size,
                                   identity.mtime_ns, identity.ctime_ns);
  source->block = kNoBlock;
  source->id = ReplicaId(path, source->generation, kNoBlock);
  source->path = path;
  source->file_bytes = identity.size;
  source->identity = identity;
  return source;
}

}  // namespace penstock::cachefs
