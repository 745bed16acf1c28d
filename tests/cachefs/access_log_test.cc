#include "cachefs/sight/access_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cachefs/sight/periodic_file.h"
#include "penstock/base/file.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

namespace {

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-log-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~AccessLogTest() override { std::filesystem::remove_all(root_); }

  std::vector<Json> Lines(const std::filesystem::path& path) {
    std::vector<Json> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  std::filesystem::path root_;
};

TEST_F(AccessLogTest, WritesEverythingBeforeItEnds) {
  const auto path = root_ / "log";
  {
    auto log = AccessLog::Start({.path = path});
    ASSERT_TRUE(log.ok());
    for (int i = 0; i < 1000; ++i) {
      (*log)->Record("file " + std::to_string(i), 7, getpid(), AccessMode::kServed);
    }
    (*log)->Record("\xFF\n\"", 8, 0, AccessMode::kLease);
    EXPECT_EQ((*log)->drops(), 0);
  }
  const auto lines = Lines(path);
  ASSERT_EQ(lines.size(), 1001);
  EXPECT_EQ(lines[999]["path"], "file 999");
  EXPECT_EQ(lines[999]["uid"], 7);
  EXPECT_EQ(lines[999]["mode"], "served");
  EXPECT_TRUE(lines[999]["command"].is_string());
  EXPECT_TRUE(lines[1000]["command"].is_null());
  EXPECT_EQ(lines[1000]["path"], "\xEF\xBF\xBD\n\"");  // no UTF-8: the replacement character
}

TEST_F(AccessLogTest, DropsAndCountsWhatItHasNoRoomFor) {
  auto log = AccessLog::Start({.path = root_ / "log", .queue_length = 0});
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 3; ++i) (*log)->Record("file", 0, 0, AccessMode::kPlain);
  EXPECT_EQ((*log)->drops(), 3);
}

TEST_F(AccessLogTest, AppendsAndRotates) {
  const auto path = root_ / "log";
  for (int i = 0; i < 3; ++i) {
    auto log = AccessLog::Start({.path = path, .rotate_bytes = 250});
    ASSERT_TRUE(log.ok());
    (*log)->Record("file " + std::to_string(i), 0, 0, AccessMode::kPlain);
  }
  // A line is over 100 bytes: two fit.
  ASSERT_EQ(Lines(root_ / "log.1").size(), 2);
  ASSERT_EQ(Lines(path).size(), 1);
  EXPECT_EQ(Lines(path)[0]["path"], "file 2");
}

TEST_F(AccessLogTest, CannotBeWhereThereIsNoDirectory) {
  EXPECT_FALSE(AccessLog::Start({.path = root_ / "none" / "log"}).ok());
}

TEST_F(AccessLogTest, PeriodicFileIsThereAtOnceAndGoneAtTheEnd) {
  int texts = 0;
  {
    auto file = PeriodicFile::Start(root_ / "metrics", std::chrono::hours(1),
                                    [&texts] { return "text " + std::to_string(++texts) + "\n"; });
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ReadWholeFile(root_ / "metrics", 100).value(), "text 1\n");
  }
  EXPECT_EQ(texts, 1);
  EXPECT_TRUE(std::filesystem::is_empty(root_));
}

}  // namespace

}  // namespace penstock::cachefs
