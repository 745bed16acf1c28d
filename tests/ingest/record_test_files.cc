#include "tests/ingest/record_test_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "penstock/ingest/registry.h"

namespace penstock::ingest {

void PutText(Bytes& bytes, size_t offset, std::string_view text) {
  if (bytes.size() < offset + text.size()) bytes.resize(offset + text.size());
  std::memcpy(bytes.data() + offset, text.data(), text.size());
}

Result<std::unique_ptr<FrameSource>> OpenAny(const std::filesystem::path& path,
                                             const OpenOptions& options) {
  return OpenSource(path, "", options);
}

Bytes DecodedFrames(const FrameSource& source, TestReport& report, int64_t frames_per_call) {
  auto frames = DecodeAll(source, report, frames_per_call);
  EXPECT_TRUE(frames.ok()) << frames.error().ToString();
  return frames.ok() ? *std::move(frames) : Bytes{};
}

void SeenBytes::OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) {
  std::vector<bool>& seen = files[file];
  seen.resize(std::max<size_t>(seen.size(), offset + bytes.size()));
  size_t again = 0;
  for (size_t i = offset; i < offset + bytes.size(); ++i) {
    again += seen[i] ? 1 : 0;
    seen[i] = true;
  }
  EXPECT_EQ(again, 0U) << "bytes read twice";
}

size_t SeenBytes::Count(size_t file) const {
  const auto found = files.find(file);
  return found == files.end()
             ? 0
             : static_cast<size_t>(std::count(found->second.begin(), found->second.end(), true));
}

void DamageAtRandom(const TestDirectory& directory, const std::string& name, const Bytes& file,
                    size_t head, int count, std::string_view format, const OpenOptions& options) {
  std::mt19937 random(7);
  const auto below = [&random](size_t limit) { return random() % limit; };
  for (int i = 0; i < count; ++i) {
    Bytes damaged = file;
    const size_t changes = 1 + below(4);
    for (size_t k = 0; k < changes; ++k) {
      const size_t at = below(std::min(head, damaged.size()));
      constexpr unsigned kValues[] = {0, 1, 0x7f, 0x80, 0xff};
      damaged[at] = below(2) == 0 ? static_cast<std::byte>(kValues[below(5)])
                                  : static_cast<std::byte>(random());
    }
    if (below(8) == 0) damaged.resize(below(damaged.size() + 1));
    const auto path = directory.Write(name, damaged);
    const auto source = OpenSource(path, format, options);
    if (!source.ok()) {
      EXPECT_FALSE(source.error().file().empty()) << source.error().ToString();
      continue;
    }
    const SourceDescription& description = (*source)->description();
    ASSERT_GE(description.frame_count, 1);
    TestReport report;
    const auto frames = DecodeAll(**source, report, 3);
    if (!frames.ok()) {
      EXPECT_FALSE(frames.error().file().empty());
    }
  }
}

}  // namespace penstock::ingest
