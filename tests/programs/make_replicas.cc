// penstock_make_replicas CACHE --count N: a cache directory that says that it holds N complete
// replicas, to look at how a daemon starts and answers on a large cache. The replica files are
// holes; `--without-files` leaves them out, `--without-records` their records.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cachefs/cache/block_source.h"
#include "cachefs/cache/cache_directory.h"
#include "cachefs/cache/extent_map.h"
#include "cachefs/state/replica_store.h"

namespace penstock::cachefs {

namespace {

struct Arguments {
  std::string cache;
  int64_t count = 1000;
  int64_t blocks_per_dataset = 64;
  uint64_t block_bytes = (uint64_t{256} << 20) + (uint64_t{128} << 10);
  bool without_files = false;
  bool without_records = false;
};

Status Make(const Arguments& arguments) {
  PENSTOCK_ASSIGN_OR_RETURN(const CacheDirectory directory, CacheDirectory::Open(arguments.cache));
  PENSTOCK_ASSIGN_OR_RETURN(ReplicaStore store, ReplicaStore::Open(directory.StatePath()));
  ExtentMap extents(
      static_cast<int64_t>((arguments.block_bytes + kExtentBytes - 1) / kExtentBytes));
  for (int64_t extent = 0; extent < extents.size(); ++extent) {
    extents.Set(extent, ExtentState::kPresent);
  }
  for (int64_t number = 0; number < arguments.count; ++number) {
    ReplicaRecord record{
        .dataset = fmt::format("proposal/visit/scan_{:06}", number / arguments.blocks_per_dataset),
        .generation = std::string(32, 'a'),
        .block = number % arguments.blocks_per_dataset,
        .complete = true,
        .extents = extents.ToHex(),
        .identity = {.size = arguments.block_bytes}};
    const std::string id = ReplicaId(record.dataset, record.generation, record.block);
    if (!arguments.without_files) {
      PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor file,
                                directory.OpenForFilling(id, arguments.block_bytes));
      if (fchmod(file.get(), 0400) != 0) return Error::FromErrno(errno, "cannot set the mode");
      PENSTOCK_ASSIGN_OR_RETURN(record.identity, IdentifyFile(file.get(), directory.BlockPath(id)));
    }
    if (!arguments.without_records) {
      PENSTOCK_RETURN_IF_ERROR(store.Put(id, record, /*sync=*/false));
    }
  }
  return {};
}

}  // namespace

}  // namespace penstock::cachefs

int main(int argc, char** argv) {
  CLI::App app("Makes a cache directory of hollow replicas");
  penstock::cachefs::Arguments arguments;
  app.add_option("CACHE", arguments.cache)->required();
  app.add_option("--count", arguments.count);
  app.add_option("--blocks-per-dataset", arguments.blocks_per_dataset);
  app.add_option("--block-bytes", arguments.block_bytes);
  app.add_flag("--without-files", arguments.without_files);
  app.add_flag("--without-records", arguments.without_records);
  CLI11_PARSE(app, argc, argv);
  const penstock::Status made = penstock::cachefs::Make(arguments);
  if (made.ok()) return 0;
  std::fprintf(stderr, "%s\n", made.error().ToString().c_str());
  return 1;
}
