// penstock_probe_upstream STORE ...: calls of an Upstream for the tests in Python. One call a line
// on standard input and its outcome on standard output, as JSON.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/checksum.h"

namespace {

using nlohmann::json;
using penstock::Error;
using penstock::FileIdentity;
using penstock::Result;
using penstock::cachefs::Upstream;
using penstock::cachefs::UpstreamFile;

json Describe(const Error& error) {
  return {{"error", penstock::ErrorKindName(error.kind())},
          {"errno", error.system_errno()},
          {"text", error.ToString()}};
}

json Describe(const struct stat& status) {
  const FileIdentity identity = penstock::cachefs::IdentityOf(status);
  return {{"type", S_ISDIR(status.st_mode)   ? "directory"
                   : S_ISREG(status.st_mode) ? "file"
                   : S_ISLNK(status.st_mode) ? "link"
                                             : "other"},
          {"size", status.st_size},
          {"mtime", status.st_mtim.tv_sec},
          {"identity",
           {identity.device, identity.inode, identity.size, identity.mtime_ns, identity.ctime_ns}}};
}

json Describe(const Result<struct stat>& status) {
  return status.ok() ? Describe(*status) : Describe(status.error());
}

// Reads into a buffer with a margin that must stay as it was.
template <typename Read>
json DescribeRead(size_t size, const Read& read) {
  constexpr size_t kMargin = 64;
  constexpr std::byte kUntouched{0xA5};
  std::vector<std::byte> bytes(size + kMargin, kUntouched);
  const Result<size_t> count = read(std::span(bytes).first(size));
  const bool overrun = std::any_of(bytes.begin() + static_cast<ptrdiff_t>(size), bytes.end(),
                                   [](std::byte byte) { return byte != kUntouched; });
  if (overrun) return {{"error", "overrun"}};
  if (!count.ok()) return Describe(count.error());
  const auto found = std::span<const std::byte>(bytes).first(*count);
  return {{"count", *count}, {"xxh128", penstock::HashBytes(found)}};
}

FileIdentity IdentityFrom(const json& numbers) {
  return {.device = numbers[0].get<uint64_t>(),
          .inode = numbers[1].get<uint64_t>(),
          .size = numbers[2].get<uint64_t>(),
          .mtime_ns = numbers[3].get<int64_t>(),
          .ctime_ns = numbers[4].get<int64_t>()};
}

class Probe {
 public:
  explicit Probe(std::shared_ptr<Upstream> upstream) : upstream_(std::move(upstream)) {}

  json Do(const json& call) {
    const std::string what = call.at("do");
    const std::string path = call.value("path", "");
    const auto offset = call.value("offset", uint64_t{0});
    const auto size = call.value("size", size_t{0});
    if (what == "name") return {{"name", upstream_->Name()}};
    if (what == "stat") return Describe(upstream_->Stat(path));
    if (what == "list") return List(path);
    if (what == "space") {
      const auto space = upstream_->Space();
      return space.ok() ? json{{"total", space->total_bytes}} : Describe(space.error());
    }
    if (what == "readlink") {
      const auto target = upstream_->ReadLink(path);
      return target.ok() ? json{{"target", *target}} : Describe(target.error());
    }
    if (what == "read") {
      return DescribeRead(size, [&](auto bytes) { return upstream_->Read(path, offset, bytes); });
    }
    if (what == "read_unchanged") {
      const FileIdentity identity = IdentityFrom(call.at("identity"));
      return DescribeRead(size, [&](auto bytes) {
        return upstream_->ReadUnchanged(path, identity, offset, bytes);
      });
    }
    if (what == "open") {
      const auto file = upstream_->Open(path);
      if (!file.ok()) return Describe(file.error());
      files_[call.at("handle")] = *file;
      return Describe((*file)->Stat());
    }
    if (what == "read_open") {
      const auto file = files_.at(call.at("handle"));
      return DescribeRead(size, [&](auto bytes) { return file->Read(offset, bytes); });
    }
    if (what == "close") {
      files_.erase(call.at("handle").get<std::string>());
      return json::object();
    }
    if (what == "at_once") return AtOnce(call.at("calls"), call.at("threads"));
    return {{"error", "no such call"}};
  }

 private:
  json List(const std::string& path) {
    const auto entries = upstream_->List(path);
    if (!entries.ok()) return Describe(entries.error());
    json names = json::object();
    for (const auto& entry : *entries) {
      if (names.contains(entry.name)) return {{"error", "listed twice: " + entry.name}};
      names[entry.name] = S_ISDIR(entry.type)   ? "directory"
                          : S_ISREG(entry.type) ? "file"
                          : S_ISLNK(entry.type) ? "link"
                                                : "unknown";
    }
    return {{"entries", names}};
  }

  json AtOnce(const json& calls, int thread_count) {
    std::vector<json> outcomes(calls.size());
    std::atomic<size_t> next{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back([&] {
        for (size_t n = next++; n < calls.size(); n = next++) outcomes[n] = Do(calls[n]);
      });
    }
    threads.clear();
    return {{"outcomes", outcomes}};
  }

  const std::shared_ptr<Upstream> upstream_;
  std::map<std::string, std::shared_ptr<UpstreamFile>> files_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Calls an upstream");
  std::string store;
  double timeout = 10;
  penstock::cachefs::UpstreamOptions options;
  app.add_option("store", store)->required();
  app.add_option("--timeout", timeout);
  app.add_option("--s3-endpoint", options.s3_endpoint);
  app.add_option("--tls-ca", options.tls_authorities);
  app.add_option("--tls-certificate", options.tls_certificate);
  app.add_option("--tls-key", options.tls_key);
  CLI11_PARSE(app, argc, argv);
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout * 1000));
  auto upstream = penstock::cachefs::MakeUpstream(store, options);
  if (!upstream.ok()) {
    std::cerr << upstream.error().ToString() << "\n";
    return 2;
  }
  Probe probe(*std::move(upstream));
  for (std::string line; std::getline(std::cin, line);) {
    const auto begin = std::chrono::steady_clock::now();
    json outcome = probe.Do(json::parse(line));
    outcome["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::cout << outcome.dump(-1, ' ', true, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
