#include "cachefs/peers/peer_residency.h"

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "cachefs/peers/members.h"
#include "cachefs/peers/peer_protocol.h"

namespace penstock::cachefs {

namespace {

using Clock = std::chrono::steady_clock;
using PlainJson = nlohmann::json;

constexpr size_t kAtOnce = 16;

Error NoAnswer() { return Error::Corrupt("the peer did not say what it holds"); }

Result<std::string> AskOne(const std::shared_ptr<TlsContext>& context, const std::string& member,
                           const DatasetView& view, std::chrono::milliseconds silence,
                           std::chrono::milliseconds total) {
  const auto end = Clock::now() + total;
  const auto soon = [&] { return std::min(end, Clock::now() + silence); };
  PENSTOCK_ASSIGN_OR_RETURN(const HostAndPort address, ParseHostAndPort(member));
  PENSTOCK_ASSIGN_OR_RETURN(const std::unique_ptr<TlsChannel> channel,
                            TlsChannel::Connect(context, address, soon()));
  PENSTOCK_RETURN_IF_ERROR(SendRequest(*channel,
                                       {.dataset = view.path,
                                        .generation = view.generation,
                                        .block = 0,
                                        .extent = kResidencyOfDataset},
                                       soon()));
  while (true) {
    PENSTOCK_ASSIGN_OR_RETURN(const PeerAnswerHead head, ReceiveAnswerHead(*channel, soon()));
    if (head.kind == PeerAnswer::kWorking) continue;
    std::string text(head.length, '\0');
    PENSTOCK_RETURN_IF_ERROR(
        channel->Read({reinterpret_cast<std::byte*>(text.data()), text.size()}, soon()));
    if (head.kind == PeerAnswer::kBytes) return text;
    return Error(ErrorKind::kIo, "the peer refuses: " + text);
  }
}

}  // namespace

std::string EncodeResidency(const BlockCache& cache, const DatasetView& view) {
  PlainJson blocks = PlainJson::array();
  for (const auto& block : view.blocks) {
    const ResidencyDetail detail = cache.ResidencyOf(*block);
    blocks.push_back({detail.extents_present, detail.residency == Residency::kComplete ? 1 : 0});
  }
  return PlainJson({{"blocks", std::move(blocks)}}).dump();
}

Result<std::vector<ResidencyDetail>> DecodeResidency(std::string_view text,
                                                     const DatasetView& view) {
  const PlainJson answer = PlainJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("blocks") || !answer["blocks"].is_array() ||
      answer["blocks"].size() != view.blocks.size()) {
    return NoAnswer();
  }
  std::vector<ResidencyDetail> details;
  details.reserve(view.blocks.size());
  for (const PlainJson& block : answer["blocks"]) {
    if (!block.is_array() || block.size() != 2 || !block[0].is_number_unsigned() ||
        !block[1].is_number_unsigned()) {
      return NoAnswer();
    }
    ResidencyDetail detail{.extents = view.blocks[details.size()]->extent_count()};
    const auto present = block[0].get<uint64_t>();
    if (present > static_cast<uint64_t>(detail.extents)) return NoAnswer();
    detail.extents_present = static_cast<int64_t>(present);
    if (block[1].get<uint64_t>() == 1) {
      detail.residency = Residency::kComplete;
    } else if (present > 0) {
      detail.residency = Residency::kPartial;
    }
    details.push_back(detail);
  }
  return details;
}

std::vector<NodeResidency> AskResidency(const std::shared_ptr<TlsContext>& context,
                                        const std::vector<std::string>& members,
                                        const std::string& self, const DatasetView& view,
                                        std::chrono::milliseconds silence,
                                        std::chrono::milliseconds total) {
  std::vector<NodeResidency> nodes;
  for (const std::string& member : members) {
    if (member != self) nodes.push_back({.node = member, .blocks = {}, .failure = ""});
  }
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t node = next++; node < nodes.size(); node = next++) {
      const auto text = AskOne(context, nodes[node].node, view, silence, total);
      auto details = text.ok() ? DecodeResidency(*text, view) : text.error();
      if (details.ok()) {
        nodes[node].blocks = *std::move(details);
      } else {
        nodes[node].failure = details.error().ToString();
      }
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < std::min(nodes.size(), kAtOnce); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return nodes;
}

}  // namespace penstock::cachefs
