#include "penstock/dataset/verify.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/faces.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumListBytes = uint64_t{64} << 20;

std::string Hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

// A file that a penstock mount makes of the blocks and that nothing lists: who has verified the
// blocks has verified it. (A copy on a disk may have the attribute, but is a file as any other.)
bool IsFace(const std::filesystem::path& file) {
  if (getxattr(file.c_str(), kFaceAttribute, nullptr, 0) < 0) return false;
  struct statfs system {};
  return statfs(file.c_str(), &system) == 0 && system.f_type == FUSE_SUPER_MAGIC;
}

// A file that somebody says should be there, or that is there.
struct FileToCheck {
  std::string path;
  std::optional<uint64_t> size;  // of the regular file that is there
  std::string listed_digest;     // of checksums.xxh128, "" where it is not listed
  std::optional<int64_t> block;  // where the sidecar names it as a block
};

class Verifier {
 public:
  Verifier(std::filesystem::path directory, ProgressSink& progress, std::stop_token stop)
      : directory_(std::move(directory)), progress_(progress), stop_(std::move(stop)) {}

  Result<VerifyReport> Run(int threads) {
    std::error_code code;
    if (!std::filesystem::is_directory(directory_, code)) {
      return Error::NotFound("there is no such directory").In(directory_);
    }
    ReadSidecar();
    // While it grows, there is no list: what is there is held against nexus.json.
    growing_ = dataset_ && dataset_->state() == kGrowingState;
    if (!growing_) ReadList();
    PENSTOCK_RETURN_IF_ERROR(CollectFiles());
    uint64_t total = 0;
    for (const FileToCheck& file : files_) total += file.size.value_or(0);
    progress_.Begin("verify " + directory_.filename().string(), total);
    Status status = CheckAll(std::clamp(threads, 1, 256));
    progress_.End();
    PENSTOCK_RETURN_IF_ERROR(std::move(status));
    std::sort(report_.damage.begin(), report_.damage.end(), [](const Damage& a, const Damage& b) {
      return std::tie(a.file, a.extent) < std::tie(b.file, b.extent);
    });
    return std::move(report_);
  }

 private:
  void Report(Damage damage) {
    const std::lock_guard lock(mutex_);
    report_.damage.push_back(std::move(damage));
  }
  void Report(const std::string& file, std::string message) {
    Report({.file = file, .extent = -1, .frames = {}, .message = std::move(message)});
  }

  void ReadList() {
    const std::filesystem::path file = directory_ / kChecksumListName;
    const Result<std::string> text = ReadWholeFile(file, kMaximumListBytes);
    if (!text.ok()) return Report(kChecksumListName, text.error().ToString());
    Result<ChecksumList> list = ParseChecksumList(*text, file);
    if (!list.ok()) return Report(kChecksumListName, list.error().ToString());
    list_ = std::move(*list);
  }

  // Without the sidecar the blocks are still checked, as files.
  void ReadSidecar() {
    Result<Dataset> dataset = Dataset::Open(directory_);
    if (!dataset.ok()) return Report("nexus.json", dataset.error().ToString());
    dataset_ = std::move(*dataset);
    extents_path_ = dataset_->ExtentChecksumPath();
    Result<std::vector<std::vector<uint64_t>>> extents = dataset_->ReadExtentChecksums();
    if (!extents.ok()) return Report(extents_path_, extents.error().ToString());
    extents_ = std::move(*extents);
  }

  Status CollectFiles() {
    std::map<std::string, FileToCheck> files;
    std::error_code code;
    for (std::filesystem::recursive_directory_iterator entry(directory_, code), end;
         !code && entry != end; entry.increment(code)) {
      const std::string path = entry->path().lexically_relative(directory_).generic_string();
      std::error_code status_code;
      const auto type = entry->symlink_status(status_code).type();
      if (type == std::filesystem::file_type::directory || path == kChecksumListName) continue;
      const bool may_be_face =
          path == kNexusFaceName || path == kNpyFaceName || path == kRawFaceName;
      if (may_be_face && IsFace(entry->path())) continue;
      FileToCheck& file = files[path];
      // Nothing else is opened: a pipe would wait for ever.
      if (type == std::filesystem::file_type::regular) {
        const uintmax_t size = entry->file_size(status_code);
        if (!status_code) file.size = size;
      }
    }
    if (code) return Error::FromErrno(code.value(), "cannot list the dataset").In(directory_);
    for (const auto& [path, digest] : list_) files[path].listed_digest = digest;
    if (dataset_) {
      for (size_t block = 0; block < dataset_->blocks().size(); ++block) {
        if (dataset_->blocks()[block].checksum.empty()) continue;
        files[dataset_->blocks()[block].relative_path].block = static_cast<int64_t>(block);
      }
    }
    for (auto& [path, file] : files) {
      file.path = path;
      files_.push_back(std::move(file));
    }
    return {};
  }

  Status CheckAll(int threads) {
    std::atomic<size_t> next = 0;
    Status failure;
    const auto work = [&] {
      Result<AlignedBuffer> buffer = AlignedBuffer::Allocate(kExtentBytes);
      if (!buffer.ok()) {
        const std::lock_guard lock(mutex_);
        failure = std::move(buffer).error();
        return;
      }
      while (!stop_.stop_requested()) {
        const size_t index = next.fetch_add(1);
        if (index >= files_.size()) return;
        CheckFile(files_[index], buffer->span());
      }
    };
    std::vector<std::jthread> workers;
    try {
      for (int thread = 1; thread < threads; ++thread) workers.emplace_back(work);
    } catch (const std::system_error&) {
      // Fewer threads do as well.
    }
    work();
    workers.clear();  // joins
    if (stop_.stop_requested()) return Error::Cancelled("verification was cancelled");
    return failure;
  }

  void CheckFile(const FileToCheck& file, std::span<std::byte> buffer) {
    if (!file.size) {
      std::error_code code;
      return Report(file.path,
                    std::filesystem::symlink_status(directory_ / file.path, code).type() ==
                            std::filesystem::file_type::not_found
                        ? "the file is missing"
                        : "this is not a regular file");
    }
    if (file.listed_digest.empty() && !file.block) {
      if (!list_.empty()) Report(file.path, "the file is not listed in checksums.xxh128");
      return;
    }
    const std::filesystem::path path = directory_ / file.path;
    const Result<FileDescriptor> fd = OpenFile(path, O_RDONLY | O_NOFOLLOW);
    if (!fd.ok()) return Report(file.path, fd.error().ToString());

    FileHasher hasher;
    std::vector<std::optional<uint64_t>> extents;  // absent: could not be read
    bool readable = true;
    for (uint64_t offset = 0; offset < *file.size; offset += kExtentBytes) {
      if (stop_.stop_requested()) return;
      const auto part = buffer.first(std::min(kExtentBytes, *file.size - offset));
      const Status read = ReadFully(fd->get(), offset, part, path);
      progress_.Advance(part.size());
      if (read.ok()) {
        hasher.Update(part);
        extents.emplace_back(file.block ? HashExtent(part) : 0);
        continue;
      }
      readable = false;
      extents.emplace_back();
      ReportExtent(file, extents.size() - 1, read.error().ToString());
    }
    {
      const std::lock_guard lock(mutex_);
      report_.bytes_checked += *file.size;
      ++report_.files_checked;
    }
    const std::string digest = readable ? hasher.HexDigest() : "";
    if (file.block) {
      CheckBlock(file, digest, extents);
    } else if (readable && digest != file.listed_digest) {
      Report(file.path,
             "the file is damaged: expected XXH3-128 " + file.listed_digest + ", found " + digest);
    }
  }

  void ReportExtent(const FileToCheck& file, size_t extent, const std::string& message) {
    Damage damage{.file = file.path, .extent = -1, .frames = {}, .message = message};
    if (file.block) {
      damage.extent = static_cast<int64_t>(extent);
      damage.frames = FramesOfExtent(*file.block, damage.extent);
    }
    Report(std::move(damage));
  }

  FrameRange FramesOfExtent(int64_t block, int64_t extent) const {
    if (dataset_->compression() == Compression::kNone) {
      return dataset_->LayoutOfBlock(block).FramesOfExtent(extent);
    }
    // Which frames it holds only the index knows. That may be damaged, too: then it is all of them.
    const BlockInfo& info = dataset_->blocks()[static_cast<size_t>(block)];
    const std::filesystem::path path = directory_ / info.relative_path;
    const auto fd = OpenFile(path, O_RDONLY | O_NOFOLLOW);
    const auto index = fd.ok() ? ChunkIndex::Read(fd->get(), dataset_->shape(), dataset_->grid(),
                                                  block, info.bytes, path)
                               : Result<ChunkIndex>(fd.error());
    if (index.ok()) return index->FramesOfExtent(extent);
    return {.first = info.region.first_frame,
            .last = info.region.first_frame + info.region.frame_count()};
  }

  // `digest` is "" where the file could not be read (which has been reported).
  void CheckBlock(const FileToCheck& file, const std::string& digest,
                  const std::vector<std::optional<uint64_t>>& extents) {
    const BlockInfo& block = dataset_->blocks()[static_cast<size_t>(*file.block)];
    // Has come since nexus.json was read.
    if (growing_ && block.checksum.empty()) return;
    if (file.listed_digest.empty()) {
      if (!list_.empty() && !growing_)
        Report(file.path, "the block is not listed in checksums.xxh128");
    } else if (file.listed_digest != block.checksum) {
      Report(kChecksumListName, file.path + ": the list says XXH3-128 " + file.listed_digest +
                                    ", nexus.json says " + block.checksum +
                                    (digest == block.checksum       ? "; the list is damaged"
                                     : digest == file.listed_digest ? "; nexus.json is damaged"
                                                                    : ""));
    }
    if (*file.size != block.bytes) {
      Report(file.path, "the block has the wrong size: expected " + std::to_string(block.bytes) +
                            " bytes, found " + std::to_string(*file.size));
    }
    const bool is_whole =
        *file.size == block.bytes &&
        (digest == block.checksum || (!digest.empty() && digest == file.listed_digest));
    if (extents_.empty()) {  // reported by ReadSidecar
      if (!is_whole && !digest.empty()) ReportWhole(file, block, digest);
      return;
    }
    const std::vector<uint64_t>& expected = extents_[static_cast<size_t>(*file.block)];
    bool found = digest.empty();
    for (size_t extent = 0; extent < expected.size(); ++extent) {
      if (extent >= extents.size()) {
        ReportExtent(file, extent, "the extent lies beyond the end of the file");
        found = true;
      } else if (extents[extent] && *extents[extent] != expected[extent]) {
        const std::string hashes =
            "expected XXH3-64 " + Hex(expected[extent]) + ", found " + Hex(*extents[extent]);
        if (is_whole) {
          Report(extents_path_, "the array is damaged, the block is not: " + file.path +
                                    ", extent " + std::to_string(extent) + ": " + hashes);
        } else {
          ReportExtent(file, extent, "the extent is damaged: " + hashes);
        }
        found = true;
      }
    }
    if (!is_whole && !found) ReportWhole(file, block, digest);
  }

  void ReportWhole(const FileToCheck& file, const BlockInfo& block, const std::string& digest) {
    Report(file.path,
           "the block is damaged: expected XXH3-128 " + block.checksum + ", found " + digest);
  }

  const std::filesystem::path directory_;
  ProgressSink& progress_;
  const std::stop_token stop_;
  ChecksumList list_;
  bool growing_ = false;
  std::optional<Dataset> dataset_;
  std::string extents_path_;
  std::vector<std::vector<uint64_t>> extents_;  // empty where they cannot be read
  std::vector<FileToCheck> files_;

  std::mutex mutex_;
  VerifyReport report_;
};

}  // namespace

Result<VerifyReport> VerifyDataset(const std::filesystem::path& directory, int threads,
                                   ProgressSink& progress, std::stop_token stop) {
  return Verifier(directory, progress, std::move(stop)).Run(threads);
}

}  // namespace penstock
