#include "cachefs/control/visibility.h"

#include <unistd.h>

#include <utility>

namespace penstock::cachefs {

namespace {

constexpr char kSidecar[] = "nexus.json";

std::string SidecarOf(const std::string& dataset) {
  return dataset.empty() ? kSidecar : dataset + "/" + kSidecar;
}

bool MayHaveRead(const Peer& peer, StoreMemory& memory, const std::string& path) {
  for (size_t end = 0; end != std::string::npos;) {
    const auto directory = memory.StatusOf(path.substr(0, end));
    if (!directory || !MaySearch(peer, *directory)) return false;
    end = path.find('/', end == 0 ? 0 : end + 1);
  }
  const auto file = memory.StatusOf(path);
  return file && MayRead(peer, *file);
}

}  // namespace

bool IsTrusted(const Peer& peer) { return peer.uid == 0 || peer.uid == geteuid(); }

bool MaySeeDataset(const Peer& peer, Upstream& upstream, const std::string& dataset) {
  if (IsTrusted(peer)) return true;
  const auto may = MayReadPath(peer, upstream, SidecarOf(dataset));
  return may.ok() && *may;
}

void KeepVisibleDatasets(const Peer& peer, StoreMemory& memory, Json& status) {
  if (IsTrusted(peer)) return;
  Json visible = Json::array();
  for (Json& dataset : status["datasets"]) {
    if (MayHaveRead(peer, memory, SidecarOf(dataset.value("dataset", "")))) {
      visible.push_back(std::move(dataset));
    }
  }
  status["datasets"] = std::move(visible);
}

}  // namespace penstock::cachefs
