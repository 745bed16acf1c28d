#include "cachefs/peers/tls_channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

#include "cachefs/peers/resolve.h"

namespace penstock::cachefs {

namespace {

constexpr uint64_t kLargestKeyFile = 4096;
constexpr size_t kShortestKey = 32;  // characters
constexpr unsigned char kIdentity[] = "penstock";
constexpr char kCipher[] = "TLS_AES_128_GCM_SHA256";
constexpr unsigned char kCipherId[] = {0x13, 0x01};

std::string TlsFailure() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the connection was closed";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// The session that the shared key stands for; the caller owns it.
SSL_SESSION* SessionOf(SSL* tls) {
  const auto* const context =
      static_cast<const TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)));
  const SSL_CIPHER* const cipher = SSL_CIPHER_find(tls, kCipherId);
  SSL_SESSION* const session = SSL_SESSION_new();
  if (session == nullptr || cipher == nullptr) {
    SSL_SESSION_free(session);
    return nullptr;
  }
  const std::string& key = context->key();
  if (SSL_SESSION_set1_master_key(session, reinterpret_cast<const unsigned char*>(key.data()),
                                  key.size()) != 1 ||
      SSL_SESSION_set_cipher(session, cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
    SSL_SESSION_free(session);
    return nullptr;
  }
  return session;
}

int OfferSession(SSL* tls, const EVP_MD*, const unsigned char** identity, size_t* identity_length,
                 SSL_SESSION** session) {
  *session = SessionOf(tls);
  *identity = kIdentity;
  *identity_length = sizeof kIdentity - 1;
  return *session != nullptr ? 1 : 0;
}

int FindSession(SSL* tls, const unsigned char* identity, size_t identity_length,
                SSL_SESSION** session) {
  *session = nullptr;
  if (identity_length == sizeof kIdentity - 1 &&
      std::memcmp(identity, kIdentity, identity_length) == 0) {
    *session = SessionOf(tls);
  }
  return 1;
}

SSL_CTX* MakeContext(const SSL_METHOD* method, TlsContext* owner) {
  SSL_CTX* const context = SSL_CTX_new(method);
  if (context == nullptr) return nullptr;
  SSL_CTX_set_app_data(context, owner);
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, kCipher);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

Result<bool> WaitFor(int socket, short events, TlsChannel::Deadline deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd event{.fd = socket, .events = events, .revents = 0};
    const int happened =
        poll(&event, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, INT_MAX)));
    if (happened > 0) return true;
    if (happened < 0 && errno != EINTR) return Error::FromErrno(errno, "cannot wait for a peer");
  }
}

Error LateError() { return Error::Timeout("the peer did not answer in time"); }

Result<FileDescriptor> ConnectTo(const addrinfo& address, TlsChannel::Deadline deadline) {
  FileDescriptor socket(::socket(
      address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol));
  if (!socket.valid()) return Error::FromErrno(errno, "cannot make a socket");
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return Error::FromErrno(errno, "cannot connect");
    PENSTOCK_ASSIGN_OR_RETURN(const bool ready, WaitFor(socket.get(), POLLOUT, deadline));
    if (!ready) return LateError();
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size) != 0) failure = errno;
    if (failure != 0) return Error::FromErrno(failure, "cannot connect");
  }
  const int yes = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return socket;
}

}  // namespace

Result<std::string> LoadPeerKey(const std::filesystem::path& file) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(file, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return Error::FromErrno(errno, "cannot stat").In(file);
  if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) > kLargestKeyFile) {
    return Error::InvalidArgument("not the file of a key")
        .In(file)
        .Advice("make one: openssl rand -hex 32");
  }
  if ((status.st_mode & 0077) != 0 || (status.st_uid != geteuid() && status.st_uid != 0)) {
    return Error::InvalidArgument("others can read or write the key")
        .In(file)
        .Expected("mode 0600, owned by the user that mounts")
        .Found(fmt::format("mode {:04o}, owner {}", status.st_mode & 07777, status.st_uid))
        .Advice(fmt::format("run: chmod 600 {}; and make a new key if others may have it",
                            file.string()));
  }
  std::string text(static_cast<size_t>(status.st_size), '\0');
  PENSTOCK_RETURN_IF_ERROR(
      ReadFully(fd.get(), 0, {reinterpret_cast<std::byte*>(text.data()), text.size()}, file));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  if (text.size() < kShortestKey) {
    return Error::InvalidArgument("the key is too short")
        .In(file)
        .Expected(fmt::format("at least {} characters", kShortestKey))
        .Found(fmt::format("{}", text.size()))
        .Advice("make one: openssl rand -hex 32");
  }
  text = "penstock peer key 1\n" + text;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

Result<std::shared_ptr<TlsContext>> TlsContext::Make(const std::string& key) {
  // OpenSSL writes to sockets without MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  std::shared_ptr<TlsContext> context(new TlsContext(key));
  context->client_ = MakeContext(TLS_client_method(), context.get());
  context->server_ = MakeContext(TLS_server_method(), context.get());
  if (context->client_ == nullptr || context->server_ == nullptr) {
    return Error::Internal("OpenSSL gives no context").Found(TlsFailure());
  }
  // No authority is trusted: a server that shows a certificate instead of the key is refused. (Ours
  // has none, so that with it there is no other way than the key.)
  SSL_CTX_set_verify(context->client_, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_psk_use_session_callback(context->client_, OfferSession);
  SSL_CTX_set_psk_find_session_callback(context->server_, FindSession);
  return context;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(client_);
  SSL_CTX_free(server_);
}

Result<std::unique_ptr<TlsChannel>> TlsChannel::Connect(const std::shared_ptr<TlsContext>& context,
                                                        const HostAndPort& address,
                                                        Deadline deadline) {
  PENSTOCK_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(address, deadline));
  Result<FileDescriptor> socket = Error(ErrorKind::kIo, "the host has no address");
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    socket = ConnectTo(*each, deadline);
    if (socket.ok()) break;
  }
  if (!socket.ok()) return std::move(socket).error();
  std::unique_ptr<TlsChannel> channel(new TlsChannel(context, *std::move(socket)));
  PENSTOCK_RETURN_IF_ERROR(channel->ShakeHands(false, deadline));
  return channel;
}

Result<std::unique_ptr<TlsChannel>> TlsChannel::Accept(const std::shared_ptr<TlsContext>& context,
                                                       FileDescriptor socket, Deadline deadline) {
  const int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Error::FromErrno(errno, "cannot set up a connection");
  }
  const int yes = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  std::unique_ptr<TlsChannel> channel(new TlsChannel(context, std::move(socket)));
  PENSTOCK_RETURN_IF_ERROR(channel->ShakeHands(true, deadline));
  return channel;
}

TlsChannel::~TlsChannel() {
  if (tls_ == nullptr) return;
  ERR_clear_error();
  SSL_shutdown(tls_);  // not waited for
  SSL_free(tls_);
}

Status TlsChannel::ShakeHands(bool as_server, Deadline deadline) {
  tls_ = SSL_new(as_server ? context_->server_ : context_->client_);
  if (tls_ == nullptr || SSL_set_fd(tls_, socket_.get()) != 1) {
    return Error::Internal("OpenSSL gives no connection").Found(TlsFailure());
  }
  const auto done =
      Drive([&] { return as_server ? SSL_accept(tls_) : SSL_connect(tls_); }, deadline);
  if (!done.ok()) {
    if (done.error().kind() == ErrorKind::kTimeout) return done.error();
    return Error(ErrorKind::kPermission, "no handshake with the peer")
        .Found(done.error().found())
        .Advice("check that both nodes have the same --peer-key");
  }
  // Only the key leads here; a handshake that went another way must not count.
  if (SSL_session_reused(tls_) != 1) {
    return Error(ErrorKind::kPermission, "the peer does not prove that it holds the key");
  }
  return {};
}

Result<size_t> TlsChannel::Drive(const std::function<int()>& operation, Deadline deadline) {
  while (true) {
    ERR_clear_error();
    errno = 0;
    const int done = operation();
    if (done > 0) return static_cast<size_t>(done);
    const int saved_errno = errno;
    const int why = SSL_get_error(tls_, done);
    if (why == SSL_ERROR_ZERO_RETURN) return Error::NotFound("the peer closed the connection");
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      const std::string reason =
          why == SSL_ERROR_SYSCALL && saved_errno != 0 ? strerror(saved_errno) : TlsFailure();
      return Error(ErrorKind::kIo, "the connection to the peer broke").Found(reason);
    }
    const short events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    PENSTOCK_ASSIGN_OR_RETURN(const bool ready, WaitFor(socket_.get(), events, deadline));
    if (!ready) return LateError();
  }
}

Status TlsChannel::Read(std::span<std::byte> bytes, Deadline deadline) {
  bool begun = false;
  while (!bytes.empty()) {
    const int most = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
    const auto count = Drive([&] { return SSL_read(tls_, bytes.data(), most); }, deadline);
    if (!count.ok()) {
      if (begun && count.error().kind() == ErrorKind::kNotFound) {
        return Error(ErrorKind::kIo, "the peer closed the connection amid an answer");
      }
      return count.error();
    }
    begun = true;
    bytes = bytes.subspan(*count);
  }
  return {};
}

Status TlsChannel::Write(std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const int most = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
    PENSTOCK_ASSIGN_OR_RETURN(const size_t count,
                              Drive([&] { return SSL_write(tls_, bytes.data(), most); }, deadline));
    bytes = bytes.subspan(count);
  }
  return {};
}

}  // namespace penstock::cachefs
