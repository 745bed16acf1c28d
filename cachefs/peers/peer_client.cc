#include "cachefs/peers/peer_client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "cachefs/peers/peer_protocol.h"

namespace penstock::cachefs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstAvoidance{1'000};
constexpr std::chrono::milliseconds kLongestAvoidance{60'000};
// A peer whose disk or memory gives wrong bytes will go on giving them.
constexpr std::chrono::milliseconds kDistrust{60'000};

}  // namespace

PeerClient::PeerClient(std::shared_ptr<TlsContext> context, MemberList& members,
                       CacheCounters& counters, Options options)
    : context_(std::move(context)),
      members_(members),
      counters_(counters),
      options_(std::move(options)) {}

PeerClient::~PeerClient() = default;

std::shared_ptr<PeerClient::Peer> PeerClient::PeerOf(const std::string& member) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Peer>& peer = peers_[member];
  if (!peer) peer = std::make_shared<Peer>(member);
  return peer;
}

std::shared_ptr<PeerClient::Peer> PeerClient::OwnerOfBlock(const BlockSource& source) {
  const auto members = members_.Get();
  const std::string* const owner = OwnerOf(*members, source.id);
  if (owner == nullptr || *owner == options_.self) return nullptr;
  return PeerOf(*owner);
}

bool PeerClient::MayAsk(Peer& peer) {
  const std::lock_guard lock(peer.mutex);
  if (!peer.pause) return true;
  if (peer.on_trial || Clock::now() < peer.avoided_until) return false;
  peer.on_trial = true;
  return true;
}

void PeerClient::Settle(Peer& peer, bool failed, const std::string& why) {
  std::vector<std::unique_ptr<TlsChannel>> closed;  // outside the lock
  const std::lock_guard lock(peer.mutex);
  peer.on_trial = false;
  if (!failed) {
    if (peer.pause) spdlog::info("the peer {} answers again", peer.name);
    peer.pause.reset();
    return;
  }
  counters_.peer_failures++;
  closed.swap(peer.idle);
  // Those who were waiting when it failed have failed of the same.
  if (peer.pause && Clock::now() < peer.avoided_until) return;
  if (!peer.pause) peer.pause.emplace(kFirstAvoidance, kLongestAvoidance);
  const auto pause = peer.pause->Next();
  peer.avoided_until = Clock::now() + pause;
  spdlog::warn("the peer {} is not asked for {} ms: {}", peer.name, pause.count(), why);
}

void PeerClient::Distrust(const BlockSource& source) {
  const auto peer = OwnerOfBlock(source);
  if (!peer) return;
  counters_.peer_mismatches++;
  spdlog::error(
      "the peer {} gave wrong bytes of {}; they are fetched from the store, and it is not "
      "asked for {} s",
      peer->name, source.path, std::chrono::duration_cast<std::chrono::seconds>(kDistrust).count());
  const std::lock_guard lock(peer->mutex);
  if (!peer->pause) peer->pause.emplace(kFirstAvoidance, kLongestAvoidance);
  peer->avoided_until = Clock::now() + kDistrust;
}

bool PeerClient::Fetch(const BlockSource& source, int64_t extent, std::span<std::byte> buffer) {
  const auto peer = OwnerOfBlock(source);
  if (!peer || !MayAsk(*peer)) return false;
  std::string why;
  const Outcome outcome = Ask(*peer, source, extent, buffer, why);
  Settle(*peer, outcome == Outcome::kFailed, why);
  if (outcome == Outcome::kRefused) {
    counters_.peer_refusals++;
    spdlog::debug("the peer {} refuses extent {} of {}: {}", peer->name, extent, source.path, why);
  }
  return outcome == Outcome::kFilled;
}

PeerClient::Outcome PeerClient::Ask(Peer& peer, const BlockSource& source, int64_t extent,
                                    std::span<std::byte> buffer, std::string& why) {
  std::unique_ptr<TlsChannel> kept;
  {
    const std::lock_guard lock(peer.mutex);
    if (!peer.idle.empty()) {
      kept = std::move(peer.idle.back());
      peer.idle.pop_back();
    }
  }
  if (kept) {
    const auto outcome = AskOver(std::move(kept), false, peer, source, extent, buffer, why);
    if (outcome) return *outcome;
  }
  const auto address = ParseHostAndPort(peer.name);
  if (!address.ok()) return Outcome::kFailed;
  auto channel = TlsChannel::Connect(context_, *address, Clock::now() + options_.silence);
  if (!channel.ok()) {
    why = channel.error().ToString();
    return Outcome::kFailed;
  }
  const auto outcome = AskOver(*std::move(channel), true, peer, source, extent, buffer, why);
  return outcome.value_or(Outcome::kFailed);
}

std::optional<PeerClient::Outcome> PeerClient::AskOver(std::unique_ptr<TlsChannel> channel,
                                                       bool fresh, Peer& peer,
                                                       const BlockSource& source, int64_t extent,
                                                       std::span<std::byte> buffer,
                                                       std::string& why) {
  const auto end = Clock::now() + options_.total;
  const auto soon = [&] { return std::min(end, Clock::now() + options_.silence); };
  const auto failed = [&](const Error& error) -> std::optional<Outcome> {
    // A connection that the peer closed while nobody used it says nothing about the peer.
    if (!fresh && error.kind() != ErrorKind::kTimeout) return std::nullopt;
    why = error.ToString();
    return Outcome::kFailed;
  };
  const Status sent = SendRequest(*channel,
                                  {.dataset = source.dataset,
                                   .generation = source.generation,
                                   .block = source.block,
                                   .extent = extent},
                                  soon());
  if (!sent.ok()) return failed(sent.error());
  while (true) {
    const auto head = ReceiveAnswerHead(*channel, soon());
    if (!head.ok()) return failed(head.error());
    fresh = true;
    if (head->kind == PeerAnswer::kWorking) continue;
    if (head->kind == PeerAnswer::kRefused) {
      why.assign(head->length, '\0');
      const Status read =
          channel->Read({reinterpret_cast<std::byte*>(why.data()), why.size()}, soon());
      if (!read.ok()) return failed(read.error());
      break;
    }
    if (head->length != buffer.size()) {
      return failed(Error::Corrupt("the peer sent an extent of another length"));
    }
    // Bytes may come slowly, but not for ever.
    constexpr size_t kPiece = 256 << 10;
    for (size_t done = 0; done < buffer.size(); done += kPiece) {
      const Status read =
          channel->Read(buffer.subspan(done, std::min(kPiece, buffer.size() - done)), soon());
      if (!read.ok()) return failed(read.error());
    }
    break;
  }
  const bool refused = !why.empty();
  const std::lock_guard lock(peer.mutex);
  peer.idle.push_back(std::move(channel));
  return refused ? Outcome::kRefused : Outcome::kFilled;
}

}  // namespace penstock::cachefs
