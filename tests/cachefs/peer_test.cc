#include "cachefs/control/peer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace penstock::cachefs {
namespace {

struct stat Mode(mode_t mode, uid_t uid, gid_t gid) {
  struct stat status {};
  status.st_mode = mode;
  status.st_uid = uid;
  status.st_gid = gid;
  return status;
}

TEST(Peer, FirstMatchingClassDecides) {
  const Peer owner{.uid = 10, .gid = 20, .groups = {30}};
  EXPECT_TRUE(MayRead(owner, Mode(0400, 10, 99)));
  EXPECT_FALSE(MayRead(owner, Mode(0044, 10, 20)));  // the owner's bits, though others may
  EXPECT_TRUE(MayRead(owner, Mode(0040, 11, 20)));
  EXPECT_TRUE(MayRead(owner, Mode(0040, 11, 30)));  // a supplementary group
  EXPECT_FALSE(MayRead(owner, Mode(0004, 11, 30)));
  EXPECT_TRUE(MayRead(owner, Mode(0004, 11, 31)));
  EXPECT_FALSE(MayRead(owner, Mode(0440, 11, 31)));
  EXPECT_TRUE(MaySearch(owner, Mode(0001, 11, 31)));
  EXPECT_FALSE(MaySearch(owner, Mode(0006, 11, 31)));
  EXPECT_TRUE(MayRead(Peer{}, Mode(0, 11, 31)));  // root
}

TEST(Peer, IsTheOneAtTheOtherEnd) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const FileDescriptor a(ends[0]);
  const FileDescriptor b(ends[1]);
  const auto peer = PeerOf(a.get());
  ASSERT_TRUE(peer.ok());
  EXPECT_EQ(peer->uid, geteuid());
  EXPECT_EQ(peer->gid, getegid());
  EXPECT_EQ(peer->groups.size(), static_cast<size_t>(getgroups(0, nullptr)));
}

TEST(Peer, SocketPathsThatAreTooLongAreRefused) {
  const auto listener = ListenOn("/tmp/" + std::string(200, 'x'), SOCK_STREAM, 0600);
  ASSERT_FALSE(listener.ok());
  EXPECT_EQ(listener.error().kind(), ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace penstock::cachefs
