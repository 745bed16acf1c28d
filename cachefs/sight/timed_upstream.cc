#include "cachefs/sight/timed_upstream.h"

#include <utility>

namespace penstock::cachefs {

namespace {

class TimedFile final : public UpstreamFile {
 public:
  TimedFile(std::shared_ptr<UpstreamFile> file, UpstreamLatency& latency)
      : file_(std::move(file)), latency_(latency) {}

  Result<struct stat> Stat() override {
    const LatencyTimer timer(latency_.metadata);
    return file_->Stat();
  }
  Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
    const LatencyTimer timer(latency_.reads);
    return file_->Read(offset, destination);
  }
  Result<uint64_t> Seek(uint64_t offset, int whence) override {
    const LatencyTimer timer(latency_.metadata);
    return file_->Seek(offset, whence);
  }

 private:
  const std::shared_ptr<UpstreamFile> file_;
  UpstreamLatency& latency_;
};

class TimedUpstream final : public Upstream {
 public:
  TimedUpstream(std::shared_ptr<Upstream> upstream, UpstreamLatency& latency)
      : upstream_(std::move(upstream)), latency_(latency) {}

  Result<struct stat> Stat(const std::string& path) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->Stat(path);
  }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->List(path);
  }
  std::vector<std::optional<struct stat>> StatEntries(const std::string& directory,
                                                      std::span<const char* const> names) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->StatEntries(directory, names);
  }
  Result<std::vector<std::string>> AttributeNames(const std::string& path) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->AttributeNames(path);
  }
  Result<std::optional<std::string>> Attribute(const std::string& path,
                                               const std::string& name) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->Attribute(path, name);
  }
  Result<std::string> ReadLink(const std::string& path) override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->ReadLink(path);
  }
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    const LatencyTimer timer(latency_.reads);
    return upstream_->Read(path, offset, destination);
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    const LatencyTimer timer(latency_.metadata);
    PENSTOCK_ASSIGN_OR_RETURN(std::shared_ptr<UpstreamFile> file, upstream_->Open(path));
    return std::shared_ptr<UpstreamFile>(std::make_shared<TimedFile>(std::move(file), latency_));
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    const LatencyTimer timer(latency_.reads);
    return upstream_->ReadUnchanged(path, identity, offset, destination);
  }
  Result<UpstreamSpace> Space() override {
    const LatencyTimer timer(latency_.metadata);
    return upstream_->Space();
  }
  void Keep(const std::string& path, const struct stat& status,
            std::string_view contents) override {
    upstream_->Keep(path, status, contents);
  }
  std::string Name() const override { return upstream_->Name(); }

 private:
  const std::shared_ptr<Upstream> upstream_;
  UpstreamLatency& latency_;
};

}  // namespace

std::shared_ptr<Upstream> MakeTimedUpstream(std::shared_ptr<Upstream> upstream,
                                            UpstreamLatency& latency) {
  return std::make_shared<TimedUpstream>(std::move(upstream), latency);
}

}  // namespace penstock::cachefs
