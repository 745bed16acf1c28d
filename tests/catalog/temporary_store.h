// A store with small synthetic datasets, removed at the end of a test.

#ifndef PENSTOCK_TESTS_CATALOG_TEMPORARY_STORE_H_
#define PENSTOCK_TESTS_CATALOG_TEMPORARY_STORE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "penstock/base/progress.h"
#include "penstock/catalog/catalog.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock::catalog {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/catalog_test.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    store_ = std::filesystem::canonical(name);
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(store_, ignored);
  }

  // Writes a dataset of 30 frames at `path`, below the store.
  void AddDataset(const std::string& path, testing_support::SyntheticOptions options = {}) const {
    options.name = std::filesystem::path(path).filename();
    std::filesystem::create_directories((store_ / path).parent_path());
    const Status written = testing_support::WriteSyntheticDataset(store_ / path, options);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
  }

  // A sidecar and nothing else, of another voltage and generation: enough for the catalog.
  void AddSidecar(const std::string& path, const std::string& from, int number) const {
    std::ifstream in(store_ / from / "nexus.json");
    Json nexus = Json::parse(in);
    nexus["entry1"]["measurement"]["event1"]["instrument"]["ebeam_column"]["electron_source"] = {
        {"@NX_class", "NXsource"}, {"voltage", number}, {"voltage@units", "V"}};
    std::filesystem::create_directories(store_ / path);
    std::ofstream(store_ / path / "nexus.json") << nexus.dump();
  }

  void Register(const std::string& path, Registered expected = Registered::kIndexed,
                const RegisterOptions& options = {}) const {
    const Result<Registered> registered = RegisterDataset(store_, store_ / path, options);
    ASSERT_TRUE(registered.ok()) << registered.error().ToString();
    EXPECT_EQ(*registered, expected);
  }

  Listing MustList(const ListOptions& options = {.with_facts = true}) const {
    SilentProgress progress;
    Result<Listing> listing = List(store_, options, progress, {});
    EXPECT_TRUE(listing.ok()) << listing.error().ToString();
    return listing.ok() ? *std::move(listing) : Listing();
  }

  RebuildReport MustRebuild() const {
    SilentProgress progress;
    Result<RebuildReport> report = Rebuild(store_, progress, {});
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *std::move(report) : RebuildReport();
  }

  static std::vector<std::string> Paths(const Listing& listing) {
    std::vector<std::string> paths;
    for (const ListedEntry& listed : listing.entries) paths.push_back(listed.entry.path);
    return paths;
  }

  std::filesystem::path IndexFolder() const { return store_ / ".penstock/catalog"; }

  // The RocksDB directory in force.
  std::filesystem::path IndexInForce() const {
    std::ifstream in(IndexFolder() / "current.json");
    return IndexFolder() / Json::parse(in).at("index").get<std::string>();
  }

  std::filesystem::path store_;
};

}  // namespace penstock::catalog

#endif  // PENSTOCK_TESTS_CATALOG_TEMPORARY_STORE_H_
