// TLS 1.3 between nodes that share a key. Both sides prove in the handshake that they hold it (an
// external pre-shared key with an ephemeral Diffie-Hellman exchange); there are no certificates,
// and whoever does not hold the key gets no further than the handshake.
//
// A context is thread-safe, a channel is not. All waiting is bounded by deadlines.

#ifndef PENSTOCK_CACHEFS_PEERS_TLS_CHANNEL_H_
#define PENSTOCK_CACHEFS_PEERS_TLS_CHANNEL_H_

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "cachefs/peers/members.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace penstock::cachefs {

// The digest of what the file holds. Refused: a file that others than its owner may read or write,
// that belongs to somebody else, or that holds less than 32 characters (`openssl rand -hex 32`).
Result<std::string> LoadPeerKey(const std::filesystem::path& file);

class TlsContext {
 public:
  // `key`: of LoadPeerKey.
  static Result<std::shared_ptr<TlsContext>> Make(const std::string& key);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  const std::string& key() const { return key_; }

 private:
  friend class TlsChannel;
  explicit TlsContext(std::string key) : key_(std::move(key)) {}

  const std::string key_;
  ssl_ctx_st* client_ = nullptr;
  ssl_ctx_st* server_ = nullptr;
};

class TlsChannel {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Connects and shakes hands. kPermission where the other side does not hold the key, or we do
  // not.
  static Result<std::unique_ptr<TlsChannel>> Connect(const std::shared_ptr<TlsContext>& context,
                                                     const HostAndPort& address, Deadline deadline);
  // Shakes hands on a connection that was accepted.
  static Result<std::unique_ptr<TlsChannel>> Accept(const std::shared_ptr<TlsContext>& context,
                                                    FileDescriptor socket, Deadline deadline);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  // All of `bytes`. kNotFound where the other side has closed before the first byte.
  Status Read(std::span<std::byte> bytes, Deadline deadline);
  Status Write(std::span<const std::byte> bytes, Deadline deadline);

 private:
  TlsChannel(std::shared_ptr<TlsContext> context, FileDescriptor socket)
      : context_(std::move(context)), socket_(std::move(socket)) {}
  Status ShakeHands(bool as_server, Deadline deadline);
  // Calls until it gives more than 0, waiting for the socket in between; what it gave.
  Result<size_t> Drive(const std::function<int()>& operation, Deadline deadline);

  const std::shared_ptr<TlsContext> context_;
  const FileDescriptor socket_;
  ssl_st* tls_ = nullptr;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_TLS_CHANNEL_H_
