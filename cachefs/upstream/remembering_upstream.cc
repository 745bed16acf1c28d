#include "cachefs/upstream/remembering_upstream.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace penstock::cachefs {

namespace {

// What was opened while the store was away.
class RememberedFile final : public SimpleUpstreamFile {
 public:
  RememberedFile(const struct stat& status, std::string contents)
      : status_(status), contents_(std::move(contents)) {}

  Result<struct stat> Stat() override { return status_; }
  Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
    if (offset >= contents_.size()) return size_t{0};
    const size_t count = std::min<uint64_t>(destination.size(), contents_.size() - offset);
    std::copy_n(reinterpret_cast<const std::byte*>(contents_.data()) + offset, count,
                destination.begin());
    return count;
  }

 private:
  const struct stat status_;
  const std::string contents_;
};

class Remembering final : public RememberingUpstream {
 public:
  Remembering(std::shared_ptr<Upstream> upstream, std::shared_ptr<StorePresence> presence,
              StoreMemory& memory)
      : upstream_(std::move(upstream)), presence_(std::move(presence)), memory_(memory) {
    if (!memory_.empty()) presence_->ExpectSomething();
  }

  Result<struct stat> Stat(const std::string& path) override {
    if (!presence_->away()) {
      auto status = upstream_->Stat(path);
      if (status.ok()) {
        memory_.KeepStatus(path, *status);
        if (!path.empty()) presence_->ExpectSomething();
        return status;
      }
      if (!IsStoreAway(status.error())) {
        // The store is there, and does not have it.
        if (status.error().kind() == ErrorKind::kNotFound) memory_.Forget(path);
        return status;
      }
    }
    if (const auto status = memory_.StatusOf(path)) return *status;
    return Unknown(path);
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    if (!presence_->away()) {
      auto entries = upstream_->List(path);
      if (entries.ok()) {
        memory_.KeepEntries(path, *entries);
        for (const DirectoryEntry& entry : *entries) {
          if (entry.status == nullptr) continue;
          memory_.KeepStatus(path.empty() ? entry.name : path + "/" + entry.name, *entry.status);
        }
        if (!entries->empty()) presence_->ExpectSomething();
        return entries;
      }
      if (!IsStoreAway(entries.error())) return entries;
    }
    if (auto entries = memory_.EntriesOf(path)) return *std::move(entries);
    return Unknown(path);
  }

  std::vector<std::optional<struct stat>> StatEntries(const std::string& directory,
                                                      std::span<const char* const> names) override {
    if (presence_->away()) return {};  // each is remembered by itself
    auto statuses = upstream_->StatEntries(directory, names);
    for (size_t i = 0; i < statuses.size() && i < names.size(); ++i) {
      const std::string_view name = names[i];
      if (!statuses[i] || name == "." || name == "..") continue;
      memory_.KeepStatus(directory.empty() ? names[i] : directory + "/" + names[i], *statuses[i]);
      presence_->ExpectSomething();
    }
    return statuses;
  }

  // Not remembered.
  Result<std::vector<std::string>> AttributeNames(const std::string& path) override {
    return upstream_->AttributeNames(path);
  }
  Result<std::optional<std::string>> Attribute(const std::string& path,
                                               const std::string& name) override {
    return upstream_->Attribute(path, name);
  }

  Result<std::string> ReadLink(const std::string& path) override {
    if (!presence_->away()) {
      auto target = upstream_->ReadLink(path);
      if (target.ok()) {
        memory_.KeepTarget(path, *target);
        return target;
      }
      if (!IsStoreAway(target.error())) return target;
    }
    if (auto target = memory_.TargetOf(path)) return *std::move(target);
    return Unknown(path);
  }

  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    if (presence_->away()) return Unknown(path);
    return upstream_->Read(path, offset, destination);
  }

  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    if (!presence_->away()) {
      auto file = upstream_->Open(path);
      if (file.ok() || !IsStoreAway(file.error())) return file;
    }
    const auto status = memory_.StatusOf(path);
    if (!status || !S_ISREG(status->st_mode)) return Unknown(path);
    auto contents =
        status->st_size == 0 ? std::string() : memory_.ContentsOf(path, IdentityOf(*status));
    if (!contents) return Unknown(path);
    return std::shared_ptr<UpstreamFile>(
        std::make_shared<RememberedFile>(*status, *std::move(contents)));
  }

  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    if (!presence_->away()) {
      auto read = upstream_->ReadUnchanged(path, identity, offset, destination);
      if (read.ok() || !IsStoreAway(read.error())) return read;
    }
    const auto contents = memory_.ContentsOf(path, identity);
    if (!contents) return Unknown(path);
    return RememberedFile({}, *contents).Read(offset, destination);
  }

  Result<UpstreamSpace> Space() override {
    if (!presence_->away()) {
      auto space = upstream_->Space();
      if (space.ok()) {
        const std::lock_guard lock(mutex_);
        space_ = *space;
        return space;
      }
      if (!IsStoreAway(space.error())) return space;
    }
    const std::lock_guard lock(mutex_);
    return space_;
  }

  std::string Name() const override { return upstream_->Name(); }

  void Keep(const std::string& path, const struct stat& status,
            std::string_view contents) override {
    if (presence_->away()) return;
    memory_.KeepStatus(path, status);
    memory_.KeepContents(path, IdentityOf(status), contents);
  }

  void Remember(const std::string& path) override {
    for (size_t end = 0; end != std::string::npos;) {
      end = path.find('/', end + 1);
      const std::string part = path.substr(0, end);
      if (presence_->away()) return;
      if (!memory_.HasStatus(part)) (void)Stat(part);
    }
  }

 private:
  Error Unknown(const std::string& path) const {
    Error error = presence_->WhyAway();
    if (path.empty()) return error;
    return std::move(error).At("/" + path);
  }

  const std::shared_ptr<Upstream> upstream_;
  const std::shared_ptr<StorePresence> presence_;
  StoreMemory& memory_;
  std::mutex mutex_;
  UpstreamSpace space_;  // as the store said last
};

}  // namespace

std::shared_ptr<RememberingUpstream> MakeRememberingUpstream(
    std::shared_ptr<Upstream> upstream, std::shared_ptr<StorePresence> presence,
    StoreMemory& memory) {
  return std::make_shared<Remembering>(std::move(upstream), std::move(presence), memory);
}

}  // namespace penstock::cachefs
