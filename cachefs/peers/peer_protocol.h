// What nodes say to each other, inside TLS. All numbers little-endian.
//
//   request:  u32 length, JSON {"dataset", "generation", "block", "extent"}
//   answer:   u8 kind, u32 length, payload; kWorking (without payload) any number of times before
//   it
//
// The extent -1 asks for what the node holds of the dataset (peer_residency.h), of any node.
// Otherwise a node asks the owner of a block only, and an owner asks nobody but the store, so no
// request is ever passed on.

#ifndef PENSTOCK_CACHEFS_PEERS_PEER_PROTOCOL_H_
#define PENSTOCK_CACHEFS_PEERS_PEER_PROTOCOL_H_

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "cachefs/peers/tls_channel.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

struct PeerRequest {
  std::string dataset;  // path relative to the store
  std::string generation;
  int64_t block = 0;
  int64_t extent = 0;
};

enum class PeerAnswer : uint8_t {
  kBytes = 1,    // the extent; nothing that was asked for has another length
  kWorking = 2,  // the owner is fetching it
  kRefused = 3,  // for the reason in the payload
};

struct PeerAnswerHead {
  PeerAnswer kind = PeerAnswer::kRefused;
  uint32_t length = 0;
};

constexpr uint32_t kLargestPeerRequest = 16 << 10;
constexpr uint32_t kLargestPeerReason = 1 << 10;
// While it works on a request, an owner says so this often.
constexpr std::chrono::milliseconds kWorkingInterval{500};

Status SendRequest(TlsChannel& channel, const PeerRequest& request, TlsChannel::Deadline deadline);
// kNotFound where the other side has closed. What is not a request is kCorrupt.
Result<PeerRequest> ReceiveRequest(TlsChannel& channel, TlsChannel::Deadline first_byte,
                                   std::chrono::milliseconds patience);

Status SendAnswer(TlsChannel& channel, PeerAnswer kind, std::span<const std::byte> payload,
                  TlsChannel::Deadline deadline);
// kCorrupt where it is no answer, or has a length that no answer of its kind has.
Result<PeerAnswerHead> ReceiveAnswerHead(TlsChannel& channel, TlsChannel::Deadline deadline);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_PEER_PROTOCOL_H_
