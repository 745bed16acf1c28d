#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "cachefs/peers/members.h"
#include "cachefs/peers/peers.h"
#include "cachefs/peers/resolve.h"
#include "cachefs/peers/tls_channel.h"

namespace penstock::cachefs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Members, AreLinesOrJson) {
  const auto lines = ParseMembers("# nodes\nnode2:7000 # second\n\n  node1:7000\r\n[::1]:7001\n");
  ASSERT_TRUE(lines.ok()) << lines.error().ToString();
  EXPECT_THAT(*lines, ElementsAre("[::1]:7001", "node1:7000", "node2:7000"));
  const auto json = ParseMembers(R"( ["b:1", "a:1"] )");
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, ElementsAre("a:1", "b:1"));
  const auto none = ParseMembers("# nobody\n");
  ASSERT_TRUE(none.ok());
  EXPECT_THAT(*none, IsEmpty());
}

TEST(Members, RefusesWhatIsNoAddress) {
  for (const char* wrong :
       {"node", "node:", ":7000", "node:0", "node:65536", "node:7x", "::1:7000", "a b:1",
        "http://a:1", "a:1\na:1", "[\"a:1\", 2]", "[\"a:1\"", "[]:1"}) {
    EXPECT_FALSE(ParseMembers(wrong).ok()) << wrong;
  }
}

TEST(Owner, IsSharedOutEvenlyAndStays) {
  const std::vector<std::string> five = {"a:1", "b:1", "c:1", "d:1", "e:1"};
  const std::vector<std::string> four = {"a:1", "b:1", "d:1", "e:1"};
  std::map<std::string, int> blocks;
  for (int block = 0; block < 5000; ++block) {
    const std::string id = "block " + std::to_string(block);
    const std::string owner = *OwnerOf(five, id);
    ++blocks[owner];
    // Only what belonged to the node that went changes hands.
    if (owner != "c:1") {
      EXPECT_EQ(*OwnerOf(four, id), owner);
    }
  }
  ASSERT_EQ(blocks.size(), 5U);
  for (const auto& [owner, count] : blocks) {
    EXPECT_NEAR(count, 1000, 150) << owner;
  }
  EXPECT_EQ(OwnerOf({}, "x"), nullptr);
}

TEST(Resolve, GivesAddressesInTime) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "SKIPPED: the sanitizer does not know the threads that libc's resolver makes";
#endif
  const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::seconds(20); };
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    const auto addresses = Resolve({.host = host, .port = "7000"}, soon());
    ASSERT_TRUE(addresses.ok()) << host << addresses.error().ToString();
    EXPECT_NE(addresses->get(), nullptr);
  }
  EXPECT_FALSE(Resolve({.host = "no-such-node.invalid", .port = "7000"}, soon()).ok());
  const auto late = Resolve({.host = "no-such-node.invalid", .port = "7000"},
                            std::chrono::steady_clock::now() - std::chrono::seconds(1));
  EXPECT_FALSE(late.ok());
}

class PeerFiles : public testing::Test {
 protected:
  PeerFiles() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-peers-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~PeerFiles() override { std::filesystem::remove_all(root_); }

  std::filesystem::path Write(const std::string& name, const std::string& text, int mode = 0600) {
    const auto path = root_ / name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, static_cast<std::filesystem::perms>(mode));
    return path;
  }

  std::filesystem::path root_;
};

TEST_F(PeerFiles, KeysAreSecretAndLong) {
  const std::string key(64, 'a');
  const auto first = LoadPeerKey(Write("key", key + "\n"));
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_EQ(first->size(), 32U);
  EXPECT_EQ(*LoadPeerKey(Write("same", key)), *first);
  EXPECT_NE(*LoadPeerKey(Write("other", std::string(64, 'b'))), *first);
  for (const int mode : {0640, 0604, 0660, 0602, 0644}) {
    const auto open = LoadPeerKey(Write("open", key, mode));
    ASSERT_FALSE(open.ok()) << mode;
    EXPECT_NE(open.error().ToString().find("chmod 600"), std::string::npos);
    std::filesystem::remove(root_ / "open");
  }
  EXPECT_FALSE(LoadPeerKey(Write("short", std::string(31, 'a') + "\n\n\n")).ok());
  EXPECT_FALSE(LoadPeerKey(root_ / "nothing").ok());
  EXPECT_FALSE(LoadPeerKey(root_).ok());
}

TEST_F(PeerFiles, OptionsThatContradictEachOtherAreRefused) {
  const PeerOptions complete{.members = "list", .key = "key", .listen = "h:1", .name = "n:1"};
  EXPECT_TRUE(CheckPeerOptions(complete).ok());
  EXPECT_TRUE(CheckPeerOptions({.members = {}, .key = {}, .listen = {}, .name = {}}).ok());
  PeerOptions options = complete;
  options.key.clear();  // without a key nothing listens
  EXPECT_FALSE(CheckPeerOptions(options).ok());
  options = complete;
  options.members.clear();
  EXPECT_FALSE(CheckPeerOptions(options).ok());
  options = complete;
  options.listen.clear();
  EXPECT_FALSE(CheckPeerOptions(options).ok());
  options.name.clear();
  EXPECT_TRUE(CheckPeerOptions(options).ok());
  options = complete;
  options.listen = "7000";
  EXPECT_FALSE(CheckPeerOptions(options).ok());
}

TEST_F(PeerFiles, AListThatIsWrongLeavesTheEarlierOneInForce) {
  const auto file = Write("list", "a:1\nb:1\n");
  auto list = MemberList::Open(file);
  ASSERT_TRUE(list.ok());
  EXPECT_THAT(*(*list)->Get(), ElementsAre("a:1", "b:1"));
  EXPECT_FALSE(MemberList::Open(Write("wrong", "nonsense\n")).ok());
}

}  // namespace
}  // namespace penstock::cachefs
