// Who is at the other end of a UNIX socket, and what that user may read in the store.

#ifndef PENSTOCK_CACHEFS_CONTROL_PEER_H_
#define PENSTOCK_CACHEFS_CONTROL_PEER_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  pid_t pid = 0;              // 0 where it is in no namespace of ours
};

// From the kernel (SO_PEERCRED, SO_PEERGROUPS), as of the time of connect().
Result<Peer> PeerOf(int socket);

// The classic mode bits: read permission on a file, search permission on a directory. Root may do
// everything. Access control lists can only take permissions away here, never add any: whoever
// needs one is sent to the path on the mount.
bool MayRead(const Peer& peer, const struct stat& file);
bool MaySearch(const Peer& peer, const struct stat& directory);

// True where the peer could open the file by its path: every directory from the root of the store
// to the file may be searched and the file read. Blocks on the store.
Result<bool> MayReadPath(const Peer& peer, Upstream& upstream, const std::string& path);

// Binds a listening socket, replacing one that an earlier daemon left behind. The caller holds the
// lock of the directory. `type`: SOCK_STREAM or SOCK_SEQPACKET.
Result<FileDescriptor> ListenOn(const std::string& path, int type, mode_t mode);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_PEER_H_
