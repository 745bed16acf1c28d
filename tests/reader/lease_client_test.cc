// The short-circuit client against daemons that behave and daemons that don't: whatever they
// answer, there is a lease of the right file or none.

#include "reader/io/lease_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "penstock/dataset/lease_protocol.h"

namespace penstock {
namespace {

class LeaseClientTest : public testing::Test {
 protected:
  LeaseClientTest()
      : directory_(std::filesystem::temp_directory_path() / ("lease-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(directory_);
    std::ofstream(directory_ / "block") << "twelve bytes";
  }
  ~LeaseClientTest() override {
    if (server_.joinable()) server_.join();
    std::filesystem::remove_all(directory_);
  }

  // A daemon that takes one connection and calls `serve` with every request until the client goes.
  void Serve(
      std::function<void(int connection, const lease::Request&, std::string dataset)> serve) {
    const std::string path = directory_ / "socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    listener_ = FileDescriptor(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener_.get(), 4), 0);
    if (setxattr(directory_.c_str(), lease::kSocketAttribute, path.data(), path.size(), 0) != 0 ||
        setxattr(directory_.c_str(), lease::kDatasetAttribute, "p/scan", 6, 0) != 0) {
      listener_.Close();
      GTEST_SKIP() << "SKIPPED: no extended attributes in " << directory_;
    }
    server_ = std::thread([this, serve = std::move(serve)] {
      const FileDescriptor connection(accept(listener_.get(), nullptr, nullptr));
      std::vector<char> packet(lease::kMaximumPacketBytes);
      while (true) {
        const ssize_t size = recv(connection.get(), packet.data(), packet.size(), 0);
        if (size <= 0) return;
        lease::Request request{};
        std::memcpy(&request, packet.data(), sizeof request);
        serve(connection.get(), request,
              std::string(packet.data() + sizeof request,
                          static_cast<size_t>(size) - sizeof request));
      }
    });
  }

  static void Reply(int connection, lease::Outcome outcome, uint64_t lease, int fd,
                    uint32_t magic = lease::kMagic) {
    lease::Reply reply{magic, outcome, 0, lease, 12};
    iovec vector{&reply, sizeof reply};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    sendmsg(connection, &message, MSG_NOSIGNAL);
  }

  FileDescriptor OpenBlock(int flags) {
    return FileDescriptor(open((directory_ / "block").c_str(), flags | O_CLOEXEC));
  }

  std::filesystem::path directory_;
  FileDescriptor listener_;
  std::thread server_;
};

TEST_F(LeaseClientTest, NoMountNoClient) {
  EXPECT_EQ(LeaseClient::ForDataset(directory_), nullptr);
}

TEST_F(LeaseClientTest, TakesAndReturnsALease) {
  std::vector<std::string> seen;
  Serve([&](int connection, const lease::Request& request, const std::string& dataset) {
    const bool acquire = request.operation == lease::Operation::kAcquire;
    seen.push_back((acquire ? "acquire " : "release ") + std::to_string(request.block) + " " +
                   dataset);
    EXPECT_EQ(request.magic, lease::kMagic);
    EXPECT_EQ(request.version, lease::kVersion);
    EXPECT_EQ(request.dataset_bytes, dataset.size());
    const FileDescriptor block = OpenBlock(O_RDONLY);
    Reply(connection, lease::Outcome::kGranted, 77, acquire ? block.get() : -1);
  });
  if (!server_.joinable()) return;
  {
    const auto client = LeaseClient::ForDataset(directory_);
    ASSERT_NE(client, nullptr);
    auto lease = client->Acquire(5, 12);
    ASSERT_TRUE(lease.has_value());
    char text[13] = {};
    EXPECT_EQ(pread(lease->fd.get(), text, 12, 0), 12);
    EXPECT_STREQ(text, "twelve bytes");
    client->Release(std::move(*lease));
  }
  server_.join();
  EXPECT_EQ(seen, (std::vector<std::string>{"acquire 5 p/scan", "release 77 "}));
}

TEST_F(LeaseClientTest, WhatIsNotTheBlockIsNotTaken) {
  Serve([&](int connection, const lease::Request& request, const std::string&) {
    switch (request.block) {
      case 0:
        return Reply(connection, lease::Outcome::kNotResident, 0, -1);
      case 1:
        return Reply(connection, lease::Outcome::kGranted, 1, -1);  // without a descriptor
      case 2:  // one that can be written through
        return Reply(connection, lease::Outcome::kGranted, 1, OpenBlock(O_RDWR).get());
      case 3:  // not a file
        return Reply(connection, lease::Outcome::kGranted, 1, connection);
      default:
        return Reply(connection, lease::Outcome::kGranted, 1, OpenBlock(O_RDONLY).get());
    }
  });
  if (!server_.joinable()) return;
  const auto client = LeaseClient::ForDataset(directory_);
  ASSERT_NE(client, nullptr);
  for (int64_t block = 0; block < 4; ++block) {
    EXPECT_FALSE(client->Acquire(block, 12).has_value()) << block;
  }
  EXPECT_FALSE(client->Acquire(4, 13).has_value());  // another size
  EXPECT_TRUE(client->Acquire(4, 12).has_value());
}

TEST_F(LeaseClientTest, ADaemonThatTalksNonsenseIsNotAskedAgain) {
  int requests = 0;
  Serve([&](int connection, const lease::Request&, const std::string&) {
    ++requests;
    Reply(connection, lease::Outcome::kGranted, 1, OpenBlock(O_RDONLY).get(), 0x12345678);
  });
  if (!server_.joinable()) return;
  {
    const auto client = LeaseClient::ForDataset(directory_);
    ASSERT_NE(client, nullptr);
    EXPECT_FALSE(client->Acquire(0, 12).has_value());
    EXPECT_FALSE(client->Acquire(0, 12).has_value());
  }
  server_.join();
  EXPECT_EQ(requests, 1);
}

TEST_F(LeaseClientTest, ADaemonThatIsGoneMeansNoClient) {
  const std::string path = directory_ / "nobody";
  if (setxattr(directory_.c_str(), lease::kSocketAttribute, path.data(), path.size(), 0) != 0 ||
      setxattr(directory_.c_str(), lease::kDatasetAttribute, "p/scan", 6, 0) != 0) {
    GTEST_SKIP() << "SKIPPED: no extended attributes in " << directory_;
  }
  EXPECT_EQ(LeaseClient::ForDataset(directory_), nullptr);
}

}  // namespace
}  // namespace penstock
