// The same questions to every source, with the same guarantees: each good seed of each format
// (tests/fuzz/seeds) is opened, decoded in several ways, ingested, verified and damaged.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/verify.h"
#include "penstock/ingest/ingest.h"
#include "penstock/ingest/registry.h"
#include "tests/fuzz/exercise_source.h"
#include "tests/fuzz/file_set.h"
#include "tests/ingest/each_format.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

using Bytes = std::vector<std::byte>;

struct SilentReport final : DecodeReport {
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
};

uint64_t FrameBytes(const SourceDescription& description) {
  return static_cast<uint64_t>(description.signal.pixel_count()) *
         ElementSize(description.element_type);
}

Status DecodeRange(const FrameSource& source, int64_t first, int64_t last, Bytes& all,
                   RawBytesObserver* observer = nullptr) {
  const uint64_t frame_bytes = FrameBytes(source.description());
  SilentReport report;
  DecodeContext context;
  context.report = &report;
  context.observer = observer;
  return source.Decode(first, last,
                       std::span(all).subspan(static_cast<uint64_t>(first) * frame_bytes,
                                              static_cast<uint64_t>(last - first) * frame_bytes),
                       context);
}

Result<Bytes> DecodeAll(const FrameSource& source, RawBytesObserver* observer = nullptr) {
  const SourceDescription& description = source.description();
  Bytes all(static_cast<uint64_t>(description.frame_count) * FrameBytes(description));
  PENSTOCK_RETURN_IF_ERROR(DecodeRange(source, 0, description.frame_count, all, observer));
  return all;
}

class Conformance : public ::testing::TestWithParam<std::string> {
 protected:
  // Every good seed of the format, opened in a folder with an awkward name.
  template <typename Question>
  void ForEachSeed(const Question& question) {
    const std::string format = GetParam();
    const auto seeds = std::filesystem::path(PENSTOCK_SOURCE_DIR) / "tests/fuzz/seeds" / format;
    ASSERT_TRUE(std::filesystem::is_directory(seeds)) << seeds << ": a format without seeds";
    int good = 0;
    for (const auto& seed : std::filesystem::directory_iterator(seeds)) {
      SCOPED_TRACE(seed.path().filename().string());
      const TemporaryFolder temporary;
      const std::filesystem::path folder = temporary / "a b%20[c]{d} 'e' \xc3\xa4*?$(x)";
      std::filesystem::create_directory(folder);
      const std::string input = ReadText(seed.path());
      path_ = WriteFileSet(std::as_bytes(std::span(input)), folder, "input.bin");
      auto source = OpenSource(path_, format, OptionsOfFormat(format));
      if (!source.ok()) continue;  // a seed of something that is refused
      ++good;
      question(**source, temporary.path());
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(good, 0);
  }

  std::filesystem::path path_;
};

TEST_P(Conformance, IsRecognisedByItsContent) {
  if (GetParam() == "raw") GTEST_SKIP() << "raw has nothing to be recognised by";
  ForEachSeed([this](const FrameSource& source, const std::filesystem::path&) {
    const auto detected = DetectFormat(path_);
    ASSERT_TRUE(detected.ok()) << detected.error().ToString();
    EXPECT_EQ((*detected)->name(), GetParam());
    EXPECT_EQ(source.description().format, GetParam());
  });
}

TEST_P(Conformance, DescribesItsFiles) {
  ForEachSeed([this](const FrameSource& source, const std::filesystem::path&) {
    const SourceDescription& description = source.description();
    ASSERT_FALSE(description.files.empty());
    bool given = false;
    for (const SourceFile& file : description.files) {
      EXPECT_FALSE(file.role.empty()) << file.path;
      EXPECT_FALSE(file.media_type.empty()) << file.path;
      const auto identity = IdentifyFile(file.path);
      ASSERT_TRUE(identity.ok());
      EXPECT_EQ(*identity, file.identity) << file.path;
      given = given || std::filesystem::equivalent(file.path, path_);
    }
    EXPECT_TRUE(given) << path_ << " is not among the files";
    for (const MetadataFact& fact : description.facts) {
      EXPECT_FALSE(fact.evidence.empty()) << fact.path;
    }
  });
}

TEST_P(Conformance, FramesDoNotDependOnHowTheyAreAskedFor) {
  ForEachSeed([](const FrameSource& source, const std::filesystem::path&) {
    const auto whole = DecodeAll(source);
    ASSERT_TRUE(whole.ok()) << whole.error().ToString();
    const int64_t count = source.description().frame_count;
    for (const int64_t step : {int64_t{1}, int64_t{2}, int64_t{3}}) {
      Bytes parts(whole->size(), std::byte{0xA5});
      for (int64_t first = (count - 1) / step * step; first >= 0; first -= step) {
        ASSERT_TRUE(DecodeRange(source, first, std::min(count, first + step), parts).ok());
      }
      EXPECT_EQ(parts, *whole) << "in steps of " << step;
    }
    Bytes nothing;
    EXPECT_TRUE(DecodeRange(source, 0, 0, nothing).ok());
  });
}

TEST_P(Conformance, ThreadsDecodeAtOnce) {
  ForEachSeed([](const FrameSource& source, const std::filesystem::path&) {
    const auto whole = DecodeAll(source);
    ASSERT_TRUE(whole.ok());
    std::vector<Bytes> results(4);
    {
      std::vector<std::jthread> threads;
      for (Bytes& result : results) {
        threads.emplace_back([&source, &result] {
          auto decoded = DecodeAll(source);
          if (decoded.ok()) result = std::move(decoded).value();
        });
      }
    }
    for (const Bytes& result : results) EXPECT_EQ(result, *whole);
  });
}

TEST_P(Conformance, ObserverSeesTheFilesOwnBytes) {
  ForEachSeed([](const FrameSource& source, const std::filesystem::path&) {
    struct Watcher final : RawBytesObserver {
      void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
        const std::lock_guard lock(mutex);
        ASSERT_LT(file, contents.size());
        ASSERT_LE(offset + bytes.size(), contents[file].size());
        EXPECT_TRUE(std::ranges::equal(
            bytes, std::as_bytes(std::span(contents[file])).subspan(offset, bytes.size())));
        seen += bytes.size();
      }
      std::mutex mutex;
      std::vector<std::string> contents;
      uint64_t seen = 0;
    } watcher;
    for (const SourceFile& file : source.description().files) {
      watcher.contents.push_back(ReadText(file.path));
    }
    ASSERT_TRUE(DecodeAll(source, &watcher).ok());
    EXPECT_GT(watcher.seen, 0U);
  });
}

TEST_P(Conformance, LocatesFramesWhereItReadsThem) {
  ForEachSeed([](const FrameSource& source, const std::filesystem::path&) {
    struct Ranges final : RawBytesObserver {
      void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
        read.emplace_back(file, offset, offset + bytes.size());
      }
      std::vector<std::tuple<size_t, uint64_t, uint64_t>> read;
    };
    const SourceDescription& description = source.description();
    const bool has_chunks = description.chunks.has_value();
    std::set<std::pair<size_t, uint64_t>> places;
    Bytes all(static_cast<uint64_t>(description.frame_count) * FrameBytes(description));
    for (int64_t frame = 0; frame < description.frame_count; ++frame) {
      const auto location = source.Locate(frame);
      EXPECT_TRUE(has_chunks || (location && location->offset)) << "frame " << frame;
      if (!location) continue;
      ASSERT_LT(location->file, description.files.size());
      EXPECT_EQ(description.files[location->file].role, "frames");
      if (!location->offset) continue;
      EXPECT_TRUE(places.emplace(location->file, *location->offset).second) << "frame " << frame;
      Ranges ranges;
      ASSERT_TRUE(DecodeRange(source, frame, frame + 1, all, &ranges).ok());
      EXPECT_TRUE(std::ranges::any_of(ranges.read,
                                      [&location](const auto& range) {
                                        const auto [file, begin, end] = range;
                                        return file == location->file &&
                                               begin <= *location->offset &&
                                               *location->offset < end;
                                      }))
          << "frame " << frame << " at " << *location->offset;
    }
  });
}

TEST_P(Conformance, RefreshOfAFinishedAcquisitionChangesNothing) {
  ForEachSeed([this](const FrameSource&, const std::filesystem::path&) {
    auto source = OpenSource(path_, GetParam(), OptionsOfFormat(GetParam()));
    ASSERT_TRUE(source.ok());
    const auto whole = DecodeAll(**source);
    ASSERT_TRUE(whole.ok());
    const auto count = (*source)->Refresh();
    ASSERT_TRUE(count.ok()) << count.error().ToString();
    EXPECT_EQ(*count, (*source)->description().frame_count);
    const auto again = DecodeAll(**source);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, *whole);
  });
}

TEST_P(Conformance, IngestGivesTheDecodedFramesAndVerifies) {
  ForEachSeed([this](const FrameSource& source, const std::filesystem::path& folder) {
    const auto whole = DecodeAll(source);
    ASSERT_TRUE(whole.ok());
    IngestOptions options;
    options.to = folder / "out";
    options.format = GetParam();
    options.open = OptionsOfFormat(GetParam());
    options.missing = MissingPolicy::kZero;
    options.accept_contradictions = true;
    const auto plan = PlanIngest(path_, options);
    ASSERT_TRUE(plan.ok()) << plan.error().ToString();
    SilentProgress progress;
    const auto result = RunIngest(*plan, progress, {});
    ASSERT_TRUE(result.ok()) << result.error().ToString();
    const auto dataset = Dataset::Open(options.to);
    ASSERT_TRUE(dataset.ok()) << dataset.error().ToString();
    const uint64_t frame_bytes = FrameBytes(source.description());
    ASSERT_EQ(dataset->shape().frame_bytes(), frame_bytes);
    for (const BlockInfo& block : dataset->blocks()) {
      const std::string bytes = ReadText(options.to / block.relative_path);
      for (int64_t i = 0; i < block.region.frame_count(); ++i) {
        const int64_t frame = plan->mapping.SourceFrame(block.region.first_frame + i);
        if (frame < 0) continue;
        const std::string_view stored(
            bytes.data() + kPayloadStart + static_cast<uint64_t>(i) * frame_bytes, frame_bytes);
        const std::string_view decoded(reinterpret_cast<const char*>(whole->data()) +
                                           static_cast<uint64_t>(frame) * frame_bytes,
                                       frame_bytes);
        ASSERT_TRUE(stored == decoded) << "frame " << frame;
      }
    }
    const auto verified = VerifyDataset(options.to, 1, progress, {});
    ASSERT_TRUE(verified.ok()) << verified.error().ToString();
    EXPECT_TRUE(verified->damage.empty());
  });
}

TEST_P(Conformance, CutFilesAreRefusedOrGiveWhatIsThere) {
  ForEachSeed([this](const FrameSource& source, const std::filesystem::path&) {
    const auto whole = DecodeAll(source);
    ASSERT_TRUE(whole.ok());
    const uint64_t frame_bytes = FrameBytes(source.description());
    const uint64_t size = std::filesystem::file_size(path_);
    for (const uint64_t part : {99U, 90U, 50U, 10U, 1U, 0U}) {
      std::filesystem::resize_file(path_, size * part / 100);
      auto cut = OpenSource(path_, GetParam(), OptionsOfFormat(GetParam()));
      if (!cut.ok()) {
        EXPECT_THAT(cut.error().ToString(), ::testing::HasSubstr(path_.parent_path().string()));
        continue;
      }
      const int64_t count = (*cut)->description().frame_count;
      if (FrameBytes((*cut)->description()) != frame_bytes) continue;
      ASSERT_LE(count, source.description().frame_count);
      Bytes frames(static_cast<uint64_t>(count) * frame_bytes);
      if (DecodeRange(**cut, 0, count, frames).ok() && count > 0) {
        // Where other files follow the one that is cut, their frames have moved up, and a gap or a
        // contradiction says so.
        const SourceDescription& description = (*cut)->description();
        const bool uncertain =
            std::ranges::any_of(description.anomalies, [](const Anomaly& anomaly) {
              return anomaly.kind == AnomalyKind::kHeaderContradiction;
            });
        if (uncertain) continue;
        const int64_t sure = description.missing_frames.empty()
                                 ? count
                                 : description.missing_frames.front().before_frame;
        const uint64_t bytes = static_cast<uint64_t>(sure) * frame_bytes;
        EXPECT_TRUE(
            std::ranges::equal(std::span(*whole).first(bytes), std::span(frames).first(bytes)));
      }
    }
  });
}

TEST_P(Conformance, WhatIsNotThereIsAnErrorWithItsName) {
  const TemporaryFolder folder;
  const SourceFormat* const format = *FindFormat(GetParam());
  const auto absent = format->Open(folder / "absent", OptionsOfFormat(GetParam()));
  ASSERT_FALSE(absent.ok());
  EXPECT_THAT(absent.error().ToString(), ::testing::HasSubstr((folder / "absent").string()));
  const auto directory = format->Open(folder.path(), OptionsOfFormat(GetParam()));
  ASSERT_FALSE(directory.ok());
  const auto empty = format->Open(folder.Write("empty", ""), OptionsOfFormat(GetParam()));
  ASSERT_FALSE(empty.ok());
  EXPECT_THAT(empty.error().ToString(), ::testing::HasSubstr((folder / "empty").string()));
}

INSTANTIATE_TEST_SUITE_P(Formats, Conformance, ::testing::ValuesIn(FormatNames()), FormatTestName);

}  // namespace
}  // namespace penstock::ingest
