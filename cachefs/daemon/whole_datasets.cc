#include "cachefs/daemon/whole_datasets.h"

#include <spdlog/spdlog.h>

#include "penstock/dataset/checksum_list.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kMostDatasets = 4096;

}  // namespace

void WholeDatasets::Completed(const BlockSource& source) {
  upstream_.Remember(source.path);
  if (source.is_block() && faces_ != nullptr && IsWhole(source)) ReadWhatFacesNeed(source.dataset);
}

bool WholeDatasets::IsWhole(const BlockSource& block) {
  const auto view = registry_.Peek(block.dataset);
  if (!view || view->generation != block.generation) return false;
  const std::lock_guard lock(mutex_);
  if (datasets_.size() >= kMostDatasets && !datasets_.contains(block.dataset)) datasets_.clear();
  Progress& progress = datasets_[block.dataset];
  if (progress.generation != view->generation) progress = {.generation = view->generation};
  while (progress.complete < view->blocks.size() &&
         cache_.ResidencyOf(*view->blocks[progress.complete]).residency == Residency::kComplete) {
    ++progress.complete;
  }
  return progress.complete == view->blocks.size() && !std::exchange(progress.read, true);
}

void WholeDatasets::ReadWhatFacesNeed(const std::string& dataset) {
  (void)upstream_.List(dataset);
  for (const FaceKind kind : {FaceKind::kNexus, FaceKind::kNpy, FaceKind::kRaw}) {
    const auto shown = faces_->At(dataset, FaceName(kind));
    if (!shown.ok() || !*shown) continue;
    // What is read for it is kept by the upstream.
    const auto header = headers_.Get(*(*shown)->face);
    if (!header.ok()) spdlog::debug("{}: {}", dataset, header.error().ToString());
  }
  (void)faces_->At(dataset, kChecksumListName);
}

}  // namespace penstock::cachefs
