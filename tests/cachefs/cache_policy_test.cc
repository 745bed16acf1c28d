// Pins and quotas: what they match, that they last, and what the cache does with them.

#include "cachefs/policy/cache_policy.h"

#include <fstream>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

class CachePolicyTest : public CacheFixture {
 protected:
  void LoadPolicy() {
    auto policy = CachePolicy::Load(root_ / "policy.json");
    ASSERT_TRUE(policy.ok()) << policy.error().ToString();
    policy_ = *std::move(policy);
  }
  void OpenWith(uint64_t cache_bytes) {
    LoadPolicy();
    Open({.limits = {.cache_bytes = cache_bytes}, .policy = policy_.get()});
  }
  void TearDown() override { Close(); }

  // One extent, in a dataset of its own name.
  std::shared_ptr<const BlockSource> Block(const std::string& dataset, int64_t block) {
    auto source = std::make_shared<BlockSource>(*AddBlock(next_++, kExtentBytes));
    source->dataset = dataset;
    source->block = block;
    source->id = ReplicaId(dataset, source->generation, block);
    return source;
  }
  bool Fetch(const std::shared_ptr<const BlockSource>& source) { return WaitComplete(source).ok(); }
  bool Has(const std::shared_ptr<const BlockSource>& source) {
    return cache_->ResidencyOf(*source).residency == Residency::kComplete;
  }

  int64_t next_ = 0;
  std::unique_ptr<CachePolicy> policy_;
};

TEST_F(CachePolicyTest, PatternsMatchPathsAndWhatIsBelow) {
  LoadPolicy();
  ASSERT_TRUE(policy_->Add({.pattern = "p1/scan"}).ok());
  ASSERT_TRUE(policy_->Add({.pattern = "p2/*_dark"}).ok());
  ASSERT_TRUE(policy_->Add({.pattern = "p3/scan", .blocks = {{2, 4}}}).ok());
  EXPECT_TRUE(policy_->IsKept("p1/scan", 0));
  EXPECT_EQ(policy_->KeptBy("p1/scan", 0)->pattern, "p1/scan");
  EXPECT_FALSE(policy_->KeptBy("p1/scan2", 0));
  EXPECT_TRUE(policy_->IsKept("p1/scan", 1000));
  EXPECT_TRUE(policy_->IsKept("p1/scan/nexus.json", kNoBlock));
  EXPECT_FALSE(policy_->IsKept("p1/scan2", 0));
  EXPECT_FALSE(policy_->IsKept("p1", 0));
  EXPECT_TRUE(policy_->IsKept("p2/a_dark", 0));
  EXPECT_TRUE(policy_->IsKept("p2/below/b_dark", 0));
  EXPECT_FALSE(policy_->IsKept("p2/a_dark_2", 0));
  EXPECT_FALSE(policy_->IsKept("p3/scan", 1));
  EXPECT_TRUE(policy_->IsKept("p3/scan", 2));
  EXPECT_TRUE(policy_->IsKept("p3/scan", 4));
  EXPECT_FALSE(policy_->IsKept("p3/scan", 5));
  EXPECT_FALSE(policy_->IsKept("p3/scan/nexus.json", kNoBlock));
}

TEST_F(CachePolicyTest, LastsAndIsTakenAway) {
  LoadPolicy();
  const auto first = policy_->Add({.pattern = "a", .owner = "ada", .reason = "beam time"});
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(policy_->Add({.pattern = "b", .blocks = {{0, 7}}, .expires = 4'000'000'000}).ok());
  ASSERT_TRUE(policy_->SetQuota("folder", {.soft_bytes = 10, .hard_bytes = 20}).ok());
  LoadPolicy();
  const auto pins = policy_->Pins();
  ASSERT_EQ(pins.size(), 2U);
  EXPECT_EQ(pins[0].owner, "ada");
  EXPECT_EQ(pins[0].reason, "beam time");
  EXPECT_GT(pins[0].created, 1'700'000'000);
  EXPECT_FALSE(pins[0].expires.has_value());
  EXPECT_EQ(pins[1].blocks, (std::pair<int64_t, int64_t>{0, 7}));
  EXPECT_EQ(pins[1].expires, 4'000'000'000);
  EXPECT_EQ(policy_->QuotaOf("folder").hard_bytes, 20U);
  EXPECT_EQ(policy_->QuotaOf("other").hard_bytes, UINT64_MAX);
  EXPECT_EQ(*policy_->Remove(first->number, ""), 1U);
  EXPECT_EQ(*policy_->Remove(first->number, ""), 0U);
  EXPECT_EQ(*policy_->Remove(std::nullopt, "b"), 1U);
  ASSERT_TRUE(policy_->SetQuota("folder", {}).ok());
  LoadPolicy();
  EXPECT_TRUE(policy_->Pins().empty());
  EXPECT_TRUE(policy_->Quotas().empty());
  EXPECT_GT(policy_->Add({.pattern = "c"})->number, first->number);
}

TEST_F(CachePolicyTest, NonsenseIsRefused) {
  LoadPolicy();
  EXPECT_FALSE(policy_->Add({.pattern = ""}).ok());
  EXPECT_FALSE(policy_->Add({.pattern = "a", .blocks = {{5, 4}}}).ok());
  EXPECT_FALSE(policy_->Add({.pattern = "a", .expires = 1'000'000}).ok());
  EXPECT_FALSE(policy_->SetQuota("a/b", {.hard_bytes = 1}).ok());
  EXPECT_FALSE(policy_->SetQuota("", {.hard_bytes = 1}).ok());
  EXPECT_FALSE(policy_->SetQuota("a", {.soft_bytes = 2, .hard_bytes = 1}).ok());
  EXPECT_TRUE(policy_->Pins().empty());
}

TEST_F(CachePolicyTest, WhatIsDamagedIsTakenFromTheCopy) {
  const std::filesystem::path file = root_ / "policy.json";
  const std::filesystem::path copy = root_ / "policy.json.copy";
  const auto patterns = [&]() -> std::vector<std::string> {
    const auto read = ReadPolicy(file);
    if (!read.ok()) return {std::string(ErrorKindName(read.error().kind()))};
    std::vector<std::string> found;
    for (const KeepPin& pin : read->pins) found.push_back(pin.pattern);
    return found;
  };
  const auto text = [](const std::filesystem::path& path) { return *ReadWholeFile(path, 100'000); };
  const auto put = [](const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  };
  LoadPolicy();
  ASSERT_TRUE(policy_->Add({.pattern = "proposal", .owner = "ada"}).ok());
  ASSERT_TRUE(policy_->SetQuota("folder", {.soft_bytes = 10, .hard_bytes = 20}).ok());
  const std::string whole = text(file);
  EXPECT_EQ(text(copy), whole);
  const std::vector<std::string> right = {"proposal"};

  // A bit of either, one at a time: nothing is believed that was not written.
  for (const auto& damaged : {file, copy}) {
    for (size_t at = 0; at < whole.size(); at += 11) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
      put(damaged, bytes);
      ASSERT_EQ(patterns(), right) << damaged << " " << at;
      ASSERT_EQ(policy_->QuotaOf("folder").hard_bytes, 20U);
      ASSERT_EQ(Json::parse(text(file)), Json::parse(whole)) << at;
      ASSERT_EQ(Json::parse(text(copy)), Json::parse(whole)) << at;
      put(damaged, whole);
    }
    std::filesystem::remove(damaged);
    EXPECT_EQ(patterns(), right);
    EXPECT_EQ(text(damaged), whole);
    put(damaged, "");
    EXPECT_EQ(patterns(), right);
  }
  put(file, "{\"pins\": 7");
  EXPECT_EQ(patterns(), right);
  EXPECT_EQ(text(root_ / "policy.json.damaged"), "{\"pins\": 7");

  put(file, "{\"pins\": 7");
  put(copy, "{");
  EXPECT_EQ(patterns(), std::vector<std::string>{"corrupt"});
  std::filesystem::remove(file);
  EXPECT_EQ(patterns(), std::vector<std::string>{"corrupt"});
  std::filesystem::remove(copy);
  EXPECT_TRUE(patterns().empty());

  // Of an earlier version: without checksum and copy.
  put(file, R"({"next_number": 8, "pins": [{"number": 7, "pattern": "proposal", "owner": "",
            "reason": "", "created": 1}], "quotas": {}})");
  EXPECT_EQ(patterns(), right);
  EXPECT_EQ(ReadPolicy(file)->next_number, 8);
  EXPECT_NE(text(file).find("checksum"), std::string::npos);
  // The machine ended between the two.
  put(copy, whole);
  EXPECT_EQ(ReadPolicy(file)->next_number, 8);
  EXPECT_EQ(text(copy), text(file));
}

TEST_F(CachePolicyTest, PinnedBlocksStayAndTheRestIsReadThrough) {
  OpenWith(2 * kExtentBytes);
  ASSERT_TRUE(policy_->Add({.pattern = "p/scan", .blocks = {{1, 1}}}).ok());
  const auto loose = Block("p/scan", 0);
  const auto kept = Block("p/scan", 1);
  ASSERT_TRUE(Fetch(loose) && Fetch(kept));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Fetch(Block("other", i)));
  EXPECT_TRUE(Has(kept));
  EXPECT_FALSE(Has(loose));
  ASSERT_TRUE(policy_->Add({.pattern = "other"}).ok());
  cache_->PolicyChanged();
  // Everything is pinned now: it can be read, but is not kept.
  const auto another = Block("another", 0);
  ASSERT_TRUE(Read(another, 0, 100).ok());
  EXPECT_FALSE(Fetch(another));
  EXPECT_EQ(cache_->bytes(), 2 * kExtentBytes);
  ASSERT_EQ(*policy_->Remove(std::nullopt, "other"), 1U);
  cache_->PolicyChanged();
  EXPECT_TRUE(Fetch(another));
  EXPECT_TRUE(Has(kept));
}

TEST_F(CachePolicyTest, HardQuotaIsNeverPassed) {
  OpenWith(10 * kExtentBytes);
  ASSERT_TRUE(policy_->SetQuota("small", {.hard_bytes = 2 * kExtentBytes}).ok());
  const auto other = Block("other/scan", 0);
  ASSERT_TRUE(Fetch(other));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(Fetch(Block("small/scan", i)));
    EXPECT_LE(cache_->FolderBytes()["small"], 2 * kExtentBytes);
  }
  EXPECT_TRUE(Has(other));
  ASSERT_TRUE(policy_->SetQuota("small", {.hard_bytes = kExtentBytes / 2}).ok());
  const auto last = Block("small/scan", 9);
  EXPECT_TRUE(Read(last, 0, 10).ok());
  EXPECT_FALSE(Fetch(last));
}

TEST_F(CachePolicyTest, FoldersAboveTheirSoftQuotaGoFirst) {
  OpenWith(4 * kExtentBytes);
  ASSERT_TRUE(policy_->SetQuota("greedy", {.soft_bytes = kExtentBytes}).ok());
  const auto first = Block("modest/scan", 0);
  ASSERT_TRUE(Fetch(first));  // the oldest, and yet it stays
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Fetch(Block("greedy/scan", i)));
  EXPECT_EQ(cache_->FolderBytes()["greedy"], 3 * kExtentBytes);  // there was room
  for (int i = 1; i < 3; ++i) ASSERT_TRUE(Fetch(Block("modest/scan", i)));
  EXPECT_TRUE(Has(first));
  EXPECT_EQ(cache_->FolderBytes()["greedy"], kExtentBytes);
  EXPECT_EQ(cache_->FolderBytes()["modest"], 3 * kExtentBytes);
}

TEST_F(CachePolicyTest, SumsAreThoseOfTheDirectoryAfterARestart) {
  OpenWith(UINT64_MAX);
  ASSERT_TRUE(Fetch(Block("a/scan", 0)));
  ASSERT_TRUE(Fetch(Block("a/scan", 1)));
  ASSERT_TRUE(Fetch(Block("b", 0)));
  const auto before = cache_->FolderBytes();
  EXPECT_EQ(before, (FolderSums{{"a", 2 * kExtentBytes}, {"b", kExtentBytes}}));
  Close();
  Open({.policy = policy_.get()});
  EXPECT_EQ(cache_->FolderBytes(), before);
}

}  // namespace
}  // namespace penstock::cachefs
