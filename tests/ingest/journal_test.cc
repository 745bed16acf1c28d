#include "ingest/pipeline/journal.h"

#include <gmock/gmock.h>

#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

TEST(Journal, KeepsLinesAndCutsATornOneOff) {
  const TemporaryFolder folder;
  const auto path = folder / ".x.ingest.journal";
  {
    auto journal = Journal::Open(path);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE((*journal)->Restart(Json{{"plan", 1}}).ok());
    ASSERT_TRUE((*journal)->Append(Json{{"block", 0}}).ok());
  }
  std::ofstream(path, std::ios::app) << R"({"block":1,"byt)";
  {
    auto journal = Journal::Open(path);
    ASSERT_TRUE(journal.ok());
    EXPECT_EQ((*journal)->lines(), (std::vector<Json>{{{"plan", 1}}, {{"block", 0}}}));
    ASSERT_TRUE((*journal)->Append(Json{{"block", 2}}).ok());
  }
  EXPECT_EQ(ReadText(path), "{\"plan\":1}\n{\"block\":0}\n{\"block\":2}\n");
}

TEST(Journal, IsLockedForTheSecond) {
  const TemporaryFolder folder;
  const auto path = folder / ".x.ingest.journal";
  auto first = Journal::Open(path);
  ASSERT_TRUE(first.ok());
  const auto second = Journal::Open(path);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::kBusy);
  ASSERT_TRUE((*first)->Remove().ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(Journal::Open(path).ok());
}

}  // namespace
}  // namespace penstock::ingest
