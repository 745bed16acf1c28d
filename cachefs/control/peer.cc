#include "cachefs/control/peer.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace penstock::cachefs {

namespace {

constexpr mode_t kRead = 4;
constexpr mode_t kSearch = 1;
constexpr int kBacklog = 64;

bool Allowed(const Peer& peer, const struct stat& status, mode_t wanted) {
  if (peer.uid == 0) return true;
  mode_t bits = status.st_mode;
  if (peer.uid == status.st_uid) {
    bits >>= 6;
  } else if (peer.gid == status.st_gid || std::find(peer.groups.begin(), peer.groups.end(),
                                                    status.st_gid) != peer.groups.end()) {
    bits >>= 3;
  }
  return (bits & wanted) == wanted;
}

}  // namespace

Result<Peer> PeerOf(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Error::FromErrno(errno, "cannot tell who the peer is");
  }
  Peer peer{.uid = credentials.uid, .gid = credentials.gid, .groups = {}, .pid = credentials.pid};
  size = 0;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) != 0 && errno == ERANGE) {
    peer.groups.resize(size / sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) {
      peer.groups.clear();
    }
  }
  return peer;
}

bool MayRead(const Peer& peer, const struct stat& file) { return Allowed(peer, file, kRead); }

bool MaySearch(const Peer& peer, const struct stat& directory) {
  return Allowed(peer, directory, kSearch);
}

Result<bool> MayReadPath(const Peer& peer, Upstream& upstream, const std::string& path) {
  if (peer.uid == 0) return true;
  for (size_t end = 0; end != std::string::npos;) {
    PENSTOCK_ASSIGN_OR_RETURN(const struct stat directory, upstream.Stat(path.substr(0, end)));
    if (!MaySearch(peer, directory)) return false;
    end = path.find('/', end == 0 ? 0 : end + 1);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat file, upstream.Stat(path));
  return MayRead(peer, file);
}

Result<FileDescriptor> ListenOn(const std::string& path, int type, mode_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error::InvalidArgument("the path is too long for a socket")
        .In(path)
        .Expected(fmt::format("at most {} characters", sizeof address.sun_path - 1))
        .Found(fmt::format("{}", path.size()))
        .Advice("use a cache directory with a shorter path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  FileDescriptor listener(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return Error::FromErrno(errno, "cannot make a socket").In(path);
  unlink(path.c_str());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), mode) != 0 || listen(listener.get(), kBacklog) != 0) {
    return Error::FromErrno(errno, "cannot listen on").In(path);
  }
  return listener;
}

}  // namespace penstock::cachefs
