#include "penstock/base/page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/file.h"

namespace penstock {
namespace {

TEST(PageCache, TellsWhatIsInMemoryAndReadsNothing) {
  const auto path =
      std::filesystem::temp_directory_path() / ("page-cache-" + std::to_string(getpid()));
  constexpr size_t kBytes = size_t{8} << 20;
  auto file = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(WriteFully(file->get(), 0, std::vector<std::byte>(kBytes), path).ok());
  const auto written = CachedBytes(file->get(), 0, kBytes);
  if (!written) {
    std::filesystem::remove(path);
    GTEST_SKIP() << "this kernel has no cachestat";
  }
  EXPECT_EQ(*written, kBytes);
  EXPECT_EQ(CachedBytes(file->get(), 4096, 4096), 4096u);
  EXPECT_EQ(CachedBytes(file->get(), 0, 0), 0u);
  ASSERT_EQ(fsync(file->get()), 0);
  ASSERT_EQ(posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  EXPECT_EQ(CachedBytes(file->get(), 0, kBytes), 0u);
  EXPECT_EQ(CachedBytes(file->get(), 0, kBytes), 0u);
  std::filesystem::remove(path);
  EXPECT_FALSE(CachedBytes(-1, 0, 1).has_value());
}

}  // namespace
}  // namespace penstock
