// The child process in which an HDF5 file is tried before it is opened.

#include "ingest/formats/hdf5/rehearsal.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest::hdf5 {
namespace {

TEST(Rehearsal, AFileThatKillsItsReaderIsTriedOnce) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.Write("hostile.h5", "hostile");
  const std::filesystem::path tries = folder / "tries";
  const auto steps = [&] {
    std::ofstream(tries, std::ios::app) << 'x' << std::flush;
    std::raise(SIGSEGV);
  };
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Status status = Rehearse(file, "open", steps);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind(), ErrorKind::kCorrupt);
    EXPECT_NE(status.error().ToString().find("Segmentation fault"), std::string::npos);
  }
  EXPECT_EQ(std::filesystem::file_size(tries), 1U);

  // Another file in its place is tried anew.
  folder.Write("hostile.h5", "another one");
  EXPECT_TRUE(Rehearse(file, "open", [] {}).ok());
}

// The kernel kills for want of memory, which says nothing about the file.
TEST(Rehearsal, AReaderKilledFromOutsideIsTriedAgain) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.Write("sound.h5", "sound");
  const std::filesystem::path tries = folder / "tries";
  const auto steps = [&] {
    std::ofstream(tries, std::ios::app) << 'x' << std::flush;
    if (std::filesystem::file_size(tries) < 3) std::raise(SIGKILL);
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Status status = Rehearse(file, "open", steps);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().ToString().find("Killed"), std::string::npos);
  }
  EXPECT_TRUE(Rehearse(file, "open", steps).ok());
  EXPECT_TRUE(Rehearse(file, "open", steps).ok());
  EXPECT_EQ(std::filesystem::file_size(tries), 3U);
}

}  // namespace
}  // namespace penstock::ingest::hdf5
