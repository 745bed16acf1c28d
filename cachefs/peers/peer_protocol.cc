#include "cachefs/peers/peer_protocol.h"

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {

namespace {

void PutLength(uint32_t length, std::byte* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(length >> (8 * i));
}

uint32_t GetLength(const std::byte* from) {
  uint32_t length = 0;
  for (int i = 0; i < 4; ++i) length |= std::to_integer<uint32_t>(from[i]) << (8 * i);
  return length;
}

Error NoRequest() { return Error::Corrupt("the peer sent no request of this protocol"); }

}  // namespace

Status SendRequest(TlsChannel& channel, const PeerRequest& request, TlsChannel::Deadline deadline) {
  const nlohmann::json fields = {{"dataset", request.dataset},
                                 {"generation", request.generation},
                                 {"block", request.block},
                                 {"extent", request.extent}};
  // Names of datasets need not be UTF-8; such a one is just not found by the owner.
  const std::string text = fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLargestPeerRequest) return Error::InvalidArgument("the name is too long");
  std::vector<std::byte> message(4 + text.size());
  PutLength(static_cast<uint32_t>(text.size()), message.data());
  std::memcpy(message.data() + 4, text.data(), text.size());
  return channel.Write(message, deadline);
}

Result<PeerRequest> ReceiveRequest(TlsChannel& channel, TlsChannel::Deadline first_byte,
                                   std::chrono::milliseconds patience) {
  std::array<std::byte, 4> head{};
  PENSTOCK_RETURN_IF_ERROR(channel.Read(std::span(head).first(1), first_byte));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  PENSTOCK_RETURN_IF_ERROR(channel.Read(std::span(head).subspan(1), deadline));
  const uint32_t length = GetLength(head.data());
  if (length == 0 || length > kLargestPeerRequest) return NoRequest();
  std::string text(length, '\0');
  PENSTOCK_RETURN_IF_ERROR(
      channel.Read({reinterpret_cast<std::byte*>(text.data()), text.size()}, deadline));
  const auto fields = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!fields.is_object()) return NoRequest();
  for (const char* name : {"dataset", "generation"}) {
    if (!fields.contains(name) || !fields[name].is_string()) return NoRequest();
  }
  for (const char* name : {"block", "extent"}) {
    if (!fields.contains(name) || !fields[name].is_number_integer()) return NoRequest();
  }
  return PeerRequest{.dataset = fields["dataset"].get<std::string>(),
                     .generation = fields["generation"].get<std::string>(),
                     .block = fields["block"].get<int64_t>(),
                     .extent = fields["extent"].get<int64_t>()};
}

Status SendAnswer(TlsChannel& channel, PeerAnswer kind, std::span<const std::byte> payload,
                  TlsChannel::Deadline deadline) {
  std::array<std::byte, 5> head{};
  head[0] = static_cast<std::byte>(kind);
  PutLength(static_cast<uint32_t>(payload.size()), head.data() + 1);
  PENSTOCK_RETURN_IF_ERROR(channel.Write(head, deadline));
  return channel.Write(payload, deadline);
}

Result<PeerAnswerHead> ReceiveAnswerHead(TlsChannel& channel, TlsChannel::Deadline deadline) {
  std::array<std::byte, 5> bytes{};
  PENSTOCK_RETURN_IF_ERROR(channel.Read(bytes, deadline));
  const PeerAnswerHead head{.kind = static_cast<PeerAnswer>(bytes[0]),
                            .length = GetLength(bytes.data() + 1)};
  const bool sound = (head.kind == PeerAnswer::kBytes && head.length <= kExtentBytes) ||
                     (head.kind == PeerAnswer::kWorking && head.length == 0) ||
                     (head.kind == PeerAnswer::kRefused && head.length <= kLargestPeerReason);
  if (!sound) return Error::Corrupt("the peer sent no answer of this protocol");
  return head;
}

}  // namespace penstock::cachefs
