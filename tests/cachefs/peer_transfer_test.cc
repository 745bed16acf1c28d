// A PeerClient against a PeerServer over a BlockCache, and against peers that misbehave.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <thread>

#include "cachefs/peers/peer_client.h"
#include "cachefs/peers/peer_protocol.h"
#include "penstock/dataset/checksum.h"
#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const std::string kKey(32, 'k');

std::shared_ptr<TlsContext> Context(const std::string& key = kKey) {
  auto context = TlsContext::Make(key);
  EXPECT_TRUE(context.ok());
  return *context;
}

// A listening socket on a loopback port, and what it does with each connection.
class FakePeer {
 public:
  using Behaviour = std::function<void(FileDescriptor)>;

  explicit FakePeer(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    listener_ = FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    name_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] {
      while (true) {
        FileDescriptor connection(accept(listener_.get(), nullptr, nullptr));
        if (!connection.valid()) return;
        ++connections_;
        behaviour_(std::move(connection));
      }
    });
  }
  ~FakePeer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  const std::string& name() const { return name_; }
  int connections() const { return connections_; }

 private:
  const Behaviour behaviour_;
  FileDescriptor listener_;
  std::string name_;
  std::atomic<int> connections_{0};
  std::thread thread_;
};

// A peer that shakes hands and answers every request as `answer` does.
FakePeer::Behaviour Answering(std::function<void(TlsChannel&, const PeerRequest&)> answer) {
  return [answer = std::move(answer)](FileDescriptor socket) {
    auto channel = TlsChannel::Accept(Context(), std::move(socket), Clock::now() + 5s);
    if (!channel.ok()) return;
    while (true) {
      const auto request = ReceiveRequest(**channel, Clock::now() + 5s, 5s);
      if (!request.ok()) return;
      answer(**channel, *request);
    }
  };
}

class PeerTransfer : public CacheFixture {
 protected:
  std::unique_ptr<PeerClient> Client(const std::string& member,
                                     std::shared_ptr<TlsContext> context = Context()) {
    const auto file = root_ / "members";
    std::ofstream(file) << member << "\n";
    auto list = MemberList::Open(file);
    EXPECT_TRUE(list.ok());
    members_ = *std::move(list);
    return std::make_unique<PeerClient>(
        std::move(context), *members_, peer_counters_,
        PeerClient::Options{.self = "self:1", .silence = 500ms, .total = 2s});
  }

  std::shared_ptr<const BlockSource> block_ = AddBlock(0, 3 * kExtentBytes / 2);
  Bytes buffer_ = Bytes(kExtentBytes);
  std::unique_ptr<MemberList> members_;
  CacheCounters peer_counters_;
};

TEST_F(PeerTransfer, BytesComeAsTheyWereSent) {
  FakePeer peer(Answering([this](TlsChannel& channel, const PeerRequest& request) {
    EXPECT_EQ(request.dataset, "scan");
    EXPECT_EQ(request.generation, "generation");
    EXPECT_EQ(request.block, 0);
    const auto bytes = Expected(*block_, block_->extent_start(request.extent),
                                block_->extent_bytes(request.extent));
    ASSERT_TRUE(SendAnswer(channel, PeerAnswer::kWorking, {}, Clock::now() + 5s).ok());
    ASSERT_TRUE(SendAnswer(channel, PeerAnswer::kBytes, bytes, Clock::now() + 5s).ok());
  }));
  const auto client = Client(peer.name());
  for (int64_t extent = 0; extent < 2; ++extent) {
    const auto part = std::span(buffer_).first(block_->extent_bytes(extent));
    ASSERT_TRUE(client->Fetch(*block_, extent, part));
    EXPECT_EQ(HashExtent(part), block_->extent_checksum[static_cast<size_t>(extent)]);
  }
  EXPECT_EQ(peer.connections(), 1) << "a connection is kept";
}

TEST_F(PeerTransfer, ARefusalIsNoFailure) {
  std::atomic<int> requests{0};
  FakePeer peer(Answering([&](TlsChannel& channel, const PeerRequest&) {
    ++requests;
    EXPECT_TRUE(
        SendAnswer(channel, PeerAnswer::kRefused, AsBytes("not the owner"), Clock::now() + 5s)
            .ok());
  }));
  const auto client = Client(peer.name());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(client->Fetch(*block_, 0, buffer_));
  EXPECT_EQ(requests, 3);
  EXPECT_EQ(peer_counters_.peer_refusals, 3U);
  EXPECT_EQ(peer_counters_.peer_failures, 0U);
}

TEST_F(PeerTransfer, APeerInTroubleIsAvoided) {
  const std::vector<FakePeer::Behaviour> troubles = {
      // Hangs up; says nothing before, amid and after the handshake; answers nonsense.
      [](FileDescriptor) {},
      [](FileDescriptor socket) {
        std::byte byte{};
        while (recv(socket.get(), &byte, 1, 0) > 0) {
        }
      },
      Answering([](TlsChannel& channel, const PeerRequest&) {
        std::byte byte{};
        (void)channel.Read({&byte, 1}, Clock::now() + 5s);
      }),
      Answering([](TlsChannel& channel, const PeerRequest&) {
        const Bytes short_extent(100);
        (void)SendAnswer(channel, PeerAnswer::kBytes, short_extent, Clock::now() + 5s);
      }),
      Answering([](TlsChannel& channel, const PeerRequest&) {
        const Bytes nonsense(100, std::byte{0xFF});
        (void)channel.Write(nonsense, Clock::now() + 5s);
      }),
      // Works without end.
      Answering([](TlsChannel& channel, const PeerRequest&) {
        while (SendAnswer(channel, PeerAnswer::kWorking, {}, Clock::now() + 5s).ok()) {
          std::this_thread::sleep_for(50ms);
        }
      })};
  for (size_t trouble = 0; trouble < troubles.size(); ++trouble) {
    FakePeer peer(troubles[trouble]);
    const auto client = Client(peer.name());
    const auto failures = peer_counters_.peer_failures.load();
    const auto begin = Clock::now();
    EXPECT_FALSE(client->Fetch(*block_, 0, buffer_)) << trouble;
    EXPECT_LT(Clock::now() - begin, 15s) << trouble;
    EXPECT_EQ(peer_counters_.peer_failures, failures + 1) << trouble;
    const int connections = peer.connections();
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(client->Fetch(*block_, 0, buffer_)) << trouble;
    EXPECT_LE(peer.connections(), connections + 1) << trouble;
  }
}

TEST_F(PeerTransfer, APeerThatLiedIsNotAskedAgain) {
  FakePeer peer(Answering([](TlsChannel& channel, const PeerRequest&) {
    const Bytes wrong(kExtentBytes, std::byte{7});
    (void)SendAnswer(channel, PeerAnswer::kBytes, wrong, Clock::now() + 5s);
  }));
  const auto client = Client(peer.name());
  BlockCache::Options options;
  options.peers = client.get();
  Open(options);
  // The first extent came wrong and was fetched from the store; nothing wrong was seen or kept.
  ExpectRight(block_, 0, block_->file_bytes);
  EXPECT_TRUE(WaitComplete(block_).ok());
  ExpectRight(block_, 0, block_->file_bytes);
  EXPECT_GE(peer_counters_.peer_mismatches, 1U);
  EXPECT_EQ(counters_->fetched_bytes, block_->file_bytes);
  EXPECT_EQ(counters_->peer_fetched_bytes, 0U);
  Close();
}

TEST_F(PeerTransfer, AnotherKeyIsRefusedByBothSides) {
  std::atomic<int> requests{0};
  FakePeer peer(Answering([&](TlsChannel&, const PeerRequest&) { ++requests; }));
  const auto client = Client(peer.name(), Context(std::string(32, 'x')));
  EXPECT_FALSE(client->Fetch(*block_, 0, buffer_));
  EXPECT_EQ(requests, 0);
  EXPECT_EQ(peer_counters_.peer_failures, 1U);
}

TEST_F(PeerTransfer, APeerThatIsNotThere) {
  const auto client = Client("127.0.0.1:1");
  EXPECT_FALSE(client->Fetch(*block_, 0, buffer_));
  EXPECT_EQ(peer_counters_.peer_failures, 1U);
}

TEST_F(PeerTransfer, OnesOwnBlocksAreAskedOfTheStore) {
  const auto client = Client("self:1");
  EXPECT_FALSE(client->Fetch(*block_, 0, buffer_));
  EXPECT_EQ(peer_counters_.peer_failures, 0U);
}

}  // namespace
}  // namespace penstock::cachefs
