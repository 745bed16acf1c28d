#include "cachefs/fuse/believed_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace penstock::cachefs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::chrono::milliseconds kLongest{60'000};
constexpr std::chrono::milliseconds kSettleTime{10'000};

// The attributes of something that changed so long ago.
struct stat Changed(mode_t type, time_t seconds_ago) {
  struct stat status {};
  status.st_mode = type | 0444;
  status.st_ino = 1;
  status.st_mtim.tv_sec = status.st_ctim.tv_sec = std::time(nullptr) - seconds_ago;
  return status;
}

// Directories alone.
class Directories final : public SimpleUpstream {
 public:
  std::map<std::string, struct stat> all;

  Result<struct stat> Stat(const std::string& path) override {
    const auto found = all.find(path);
    if (found == all.end()) return Error::NotFound("no such directory").In(path);
    return found->second;
  }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return Error::NotFound("not listed").In(path);
  }
  Result<std::string> ReadLink(const std::string& path) override {
    return Error::NotFound("no such link").In(path);
  }
  Result<size_t> Read(const std::string& path, uint64_t, std::span<std::byte>) override {
    return Error::NotFound("no such file").In(path);
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    return Error::NotFound("no such file").In(path);
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity&, uint64_t,
                               std::span<std::byte>) override {
    return Error::NotFound("no such file").In(path);
  }
  Result<UpstreamSpace> Space() override { return UpstreamSpace{}; }
  std::string Name() const override { return "directories"; }
};

BelievedNames::Listing Listing(size_t entries, bool with_attributes = false) {
  std::vector<DirectoryEntry> listing;
  for (size_t i = 0; i < entries; ++i) {
    listing.push_back({.name = "file_" + std::to_string(i), .type = S_IFREG, .inode = i + 1});
    if (!with_attributes) continue;
    struct stat status = Changed(S_IFREG, 100);
    status.st_size = static_cast<off_t>(i);
    listing.back().status = std::make_shared<const struct stat>(status);
  }
  return std::make_shared<const std::vector<DirectoryEntry>>(std::move(listing));
}

class BelievedNamesTest : public testing::Test {
 protected:
  BelievedNamesTest() { store_.all["many"] = Changed(S_IFDIR, 100); }

  const BelievedNames::Listing large_ = Listing(BelievedNames::kLargeDirectory);
  const struct stat quiet_file_ = Changed(S_IFREG, 100);
  Directories store_;
  BelievedNames names_{kLongest, kSettleTime};
};

TEST_F(BelievedNamesTest, FilesOfAQuietLargeDirectoryAreBelievedForLonger) {
  EXPECT_EQ(names_.SecondsFor("many", quiet_file_), kBelievedSeconds);
  EXPECT_FALSE(names_.ListedAs("many", large_, store_));
  EXPECT_EQ(names_.SecondsFor("many", quiet_file_), 60);
  EXPECT_EQ(names_.SecondsFor("many", Changed(S_IFLNK, 100)), 60);
  EXPECT_EQ(names_.SecondsFor("many", Changed(S_IFREG, 5)), kBelievedSeconds);
  EXPECT_EQ(names_.SecondsFor("many", Changed(S_IFDIR, 100)), kBelievedSeconds);
  EXPECT_EQ(names_.SecondsFor("other", quiet_file_), kBelievedSeconds);
  EXPECT_THAT(names_.TakeChanged(store_), IsEmpty());
  EXPECT_TRUE(names_.Watches("many"));
}

TEST_F(BelievedNamesTest, OthersAreNot) {
  store_.all["changing"] = Changed(S_IFDIR, 1);
  store_.all["timeless"] = Changed(S_IFDIR, 0);
  store_.all["timeless"].st_mtim.tv_sec = store_.all["timeless"].st_ctim.tv_sec = 0;
  store_.all["small"] = Changed(S_IFDIR, 100);
  for (const char* directory : {"changing", "timeless", "gone"}) {
    EXPECT_FALSE(names_.ListedAs(directory, large_, store_));
  }
  EXPECT_FALSE(names_.ListedAs("small", Listing(BelievedNames::kLargeDirectory - 1), store_));
  for (const char* directory : {"changing", "timeless", "gone", "small"}) {
    EXPECT_EQ(names_.SecondsFor(directory, quiet_file_), kBelievedSeconds) << directory;
  }
  BelievedNames off(std::chrono::seconds(1), kSettleTime);
  EXPECT_FALSE(off.ListedAs("many", large_, store_));
  EXPECT_EQ(off.SecondsFor("many", quiet_file_), kBelievedSeconds);
  EXPECT_FALSE(off.watches_any());
}

TEST_F(BelievedNamesTest, ADirectoryThatHasChangedIsNamedOnce) {
  names_.ListedAs("many", large_, store_);
  EXPECT_EQ(names_.SecondsFor("many", quiet_file_), 60);
  store_.all["many"] = Changed(S_IFDIR, 0);
  EXPECT_THAT(names_.TakeChanged(store_), ElementsAre("many"));
  EXPECT_FALSE(names_.Watches("many"));
  EXPECT_EQ(names_.SecondsFor("many", quiet_file_), kBelievedSeconds);
  EXPECT_THAT(names_.TakeChanged(store_), IsEmpty());
}

TEST_F(BelievedNamesTest, ADirectoryThatHasGoneHasChanged) {
  names_.ListedAs("many", large_, store_);
  names_.SecondsFor("many", quiet_file_);
  store_.all.clear();
  EXPECT_THAT(names_.TakeChanged(store_), ElementsAre("many"));
}

TEST_F(BelievedNamesTest, TheNextListingNoticesAChangeToo) {
  names_.ListedAs("many", large_, store_);
  names_.SecondsFor("many", quiet_file_);
  store_.all["many"] = Changed(S_IFDIR, 50);
  EXPECT_TRUE(names_.ListedAs("many", large_, store_));
  EXPECT_FALSE(names_.ListedAs("many", large_, store_));
  EXPECT_THAT(names_.TakeChanged(store_), IsEmpty());
}

TEST_F(BelievedNamesTest, WhatNobodyWasToldIsNotWatched) {
  names_.ListedAs("many", large_, store_);
  EXPECT_TRUE(names_.watches_any());
  EXPECT_THAT(names_.TakeChanged(store_), IsEmpty());
  EXPECT_FALSE(names_.watches_any());
}

TEST_F(BelievedNamesTest, AListingWithAttributesAnswersUntilItIsDoubted) {
  const auto listing = Listing(BelievedNames::kLargeDirectory, /*with_attributes=*/true);
  EXPECT_FALSE(names_.FromListing("many", "file_7"));
  names_.ListedAs("many", listing, store_);
  const auto found = names_.FromListing("many", "file_7");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->st_size, 7);
  EXPECT_FALSE(names_.FromListing("many", "absent"));
  EXPECT_FALSE(names_.FromListing("other", "file_7"));
  const double seconds = names_.SecondsFor("many", quiet_file_);
  EXPECT_GT(seconds, kBelievedSeconds);
  EXPECT_LE(seconds, 60);
  names_.Doubt("many");
  EXPECT_FALSE(names_.FromListing("many", "file_7"));
  EXPECT_EQ(names_.SecondsFor("many", quiet_file_), kBelievedSeconds);
}

}  // namespace
}  // namespace penstock::cachefs
