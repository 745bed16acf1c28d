#include "ingest/pipeline/growing_view.h"

#include <unistd.h>

#include <cerrno>

#include "penstock/base/file.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

namespace {

namespace fs = std::filesystem;

// A second name for a file that is complete, or a copy of it under that name; never a part of one.
Status LinkOrCopy(const fs::path& from, const fs::path& to, bool is_shared) {
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(to.parent_path()));
  if (link(from.c_str(), to.c_str()) == 0) return Status::Ok();
  // A shared file that is a link already follows by itself.
  if (errno == EEXIST) {
    std::error_code ignored;
    if (!is_shared || fs::equivalent(from, to, ignored)) return Status::Ok();
  }
  const fs::path part = to.string() + ".part";
  std::error_code problem;
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, problem);
  if (!problem) fs::rename(part, to, problem);
  if (problem) {
    return Error::FromErrno(problem.value(), "cannot link or copy " + from.string()).In(to);
  }
  return Status::Ok();
}

}  // namespace

GrowingView::GrowingView(const StagingPaths& paths) : paths_(paths), blocks_from_(paths.staging) {
  paths_.staging = paths.parent / ("." + paths.destination.filename().string() + ".growing");
}

Status GrowingView::Link(const DatasetDescription& description, int64_t block,
                         const fs::path& into) const {
  const std::string path = BlockRelativePath(description.shape, description.grid, block);
  PENSTOCK_RETURN_IF_ERROR(LinkOrCopy(blocks_from_ / path, into / path, false));
  for (const std::string& file : StatisticsFiles(description.shape, description.grid, block)) {
    PENSTOCK_RETURN_IF_ERROR(LinkOrCopy(blocks_from_ / file, into / file, true));
  }
  return Status::Ok();
}

Status GrowingView::Publish(const DatasetDescription& description,
                            const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(paths_.staging));
  // Those that all blocks share are there from the start.
  for (const std::string& file : StatisticsFiles(description.shape, description.grid, 0)) {
    if (!NameExists(blocks_from_ / file)) continue;
    PENSTOCK_RETURN_IF_ERROR(LinkOrCopy(blocks_from_ / file, paths_.staging / file, true));
  }
  for (const BlockRecord& record : contents.blocks) {
    if (record.checksum.empty()) continue;
    PENSTOCK_RETURN_IF_ERROR(Link(description, record.block, paths_.staging));
  }
  PENSTOCK_RETURN_IF_ERROR(WriteGrowingDescription(paths_.staging, description, contents));
  PENSTOCK_RETURN_IF_ERROR(PublishInPlaceOf(paths_));
  PENSTOCK_RETURN_IF_ERROR(RemoveTree(paths_.staging));
  return RemoveTree(paths_.replaced);
}

Status GrowingView::Add(int64_t block, const DatasetDescription& description,
                        const DatasetContents& contents) {
  PENSTOCK_RETURN_IF_ERROR(Link(description, block, paths_.destination));
  return UpdateGrowingDescription(paths_.destination, description, contents);
}

}  // namespace penstock::ingest
