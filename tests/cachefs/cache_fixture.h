// A block cache in a directory of its own over a FaultyUpstream, with synchronous reads.

#ifndef PENSTOCK_TESTS_CACHEFS_CACHE_FIXTURE_H_
#define PENSTOCK_TESTS_CACHEFS_CACHE_FIXTURE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "penstock/dataset/checksum.h"
#include "tests/cachefs/faulty_upstream.h"

namespace penstock::cachefs {

class CacheFixture : public testing::Test {
 protected:
  using Fault = FaultyUpstream::Fault;
  using Bytes = std::vector<std::byte>;

  CacheFixture() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-cache-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~CacheFixture() override {
    upstream_->EndStall();
    Close();
    std::filesystem::remove_all(root_);
  }

  // A block of `bytes` random bytes in the store.
  std::shared_ptr<const BlockSource> AddBlock(int64_t block, uint64_t bytes) {
    std::mt19937_64 random(static_cast<uint64_t>(block) + 1);
    Bytes contents(bytes);
    for (uint64_t start = 0; start < bytes; start += sizeof(uint64_t)) {
      const uint64_t number = random();
      std::memcpy(contents.data() + start, &number,
                  std::min<uint64_t>(sizeof number, bytes - start));
    }
    auto source = std::make_shared<BlockSource>();
    source->dataset = "scan";
    source->generation = "generation";
    source->block = block;
    source->id = ReplicaId(source->dataset, source->generation, block);
    source->path = "scan/" + std::to_string(block);
    source->file_bytes = bytes;
    for (uint64_t start = 0; start < bytes; start += kExtentBytes) {
      source->extent_checksum.push_back(HashExtent(
          std::span(contents).subspan(start, std::min<uint64_t>(kExtentBytes, bytes - start))));
    }
    contents_[block] = contents;
    upstream_->AddFile(source->path, std::move(contents));
    return source;
  }

  void Open(BlockCache::Options options = {}) {
    auto directory = CacheDirectory::Open(root_ / "cache");
    ASSERT_TRUE(directory.ok()) << directory.error().ToString();
    directory_.emplace(std::move(directory).value());
    auto store = ReplicaStore::Open(directory_->StatePath());
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_.emplace(std::move(store).value());
    deadlines_ = std::make_unique<DeadlineWatch>();
    counters_ = std::make_unique<CacheCounters>();
    cache_ = std::make_unique<BlockCache>(*directory_, *store_, upstream_, *deadlines_, *counters_,
                                          options);
  }
  void Close() {
    if (cache_) {
      EXPECT_TRUE(cache_->Stop(std::chrono::seconds(10)));
    }
    cache_.reset();
    deadlines_.reset();
    store_.reset();
    directory_.reset();
  }

  Result<Bytes> Read(const std::shared_ptr<const BlockSource>& source, uint64_t offset,
                     size_t size) {
    auto promise = std::make_shared<std::promise<Result<Bytes>>>();
    auto future = promise->get_future();
    cache_->Read(cache_->Pin(source), offset, size,
                 [promise](const Result<std::span<const std::byte>>& bytes) {
                   if (bytes.ok()) {
                     promise->set_value(Bytes(bytes->begin(), bytes->end()));
                   } else {
                     promise->set_value(bytes.error());
                   }
                 });
    return future.get();
  }
  Status WaitComplete(const std::shared_ptr<const BlockSource>& source) {
    auto promise = std::make_shared<std::promise<Status>>();
    auto future = promise->get_future();
    cache_->WhenComplete(cache_->Pin(source), std::chrono::seconds(20),
                         [promise](const Status& status) { promise->set_value(status); });
    return future.get();
  }
  Bytes Expected(const BlockSource& source, uint64_t offset, size_t size) const {
    const Bytes& contents = contents_.at(source.block);
    const uint64_t end = std::min<uint64_t>(contents.size(), offset + size);
    return {contents.begin() + static_cast<ptrdiff_t>(offset),
            contents.begin() + static_cast<ptrdiff_t>(end)};
  }
  void ExpectRight(const std::shared_ptr<const BlockSource>& source, uint64_t offset, size_t size) {
    const auto bytes = Read(source, offset, size);
    ASSERT_TRUE(bytes.ok()) << bytes.error().ToString();
    EXPECT_TRUE(*bytes == Expected(*source, offset, size));
  }

  std::filesystem::path root_;
  std::shared_ptr<FaultyUpstream> upstream_ = std::make_shared<FaultyUpstream>();
  std::map<int64_t, Bytes> contents_;
  std::optional<CacheDirectory> directory_;
  std::optional<ReplicaStore> store_;
  std::unique_ptr<DeadlineWatch> deadlines_;
  std::unique_ptr<CacheCounters> counters_;
  std::unique_ptr<BlockCache> cache_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_TESTS_CACHEFS_CACHE_FIXTURE_H_
