#include "penstock/ingest/registry.h"

#include <gmock/gmock.h>

#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

std::string DetectionError(std::string_view bytes) {
  const TemporaryFolder folder;
  const auto path = folder.Write("file.dat", bytes);
  const auto source = OpenSource(path, "", {});
  EXPECT_FALSE(source.ok());
  return source.ok() ? "" : source.error().ToString();
}

TEST(Registry, SaysWhatAFileIsThatItDoesNotRead) {
  EXPECT_THAT(DetectionError("MPX,0000000001,"), HasSubstr("live stream"));
  EXPECT_THAT(DetectionError(std::string_view("\xff\xff\x00\x55 block", 10)), HasSubstr("K2 IS"));
}

TEST(Registry, ShowsTheFirstBytesOfTheUnknown) {
  const std::string error = DetectionError("hello");
  EXPECT_THAT(error, HasSubstr("not recognised by its content"));
  EXPECT_THAT(error, HasSubstr("68 65 6c 6c 6f 'hello'"));
  EXPECT_THAT(error, HasSubstr("--format raw"));
}

TEST(Registry, AnEmptyFileIsSaidToBeEmpty) {
  EXPECT_THAT(DetectionError(""), HasSubstr("the file is empty"));
}

TEST(Registry, UnknownNamesListTheKnownOnes) {
  const auto format = FindFormat("mibb");
  ASSERT_FALSE(format.ok());
  EXPECT_EQ(format.error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_THAT(format.error().expected(), HasSubstr("npy"));
  EXPECT_EQ((*FindFormat("raw"))->name(), "raw");
}

}  // namespace
}  // namespace penstock::ingest
