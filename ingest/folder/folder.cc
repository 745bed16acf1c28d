#include "penstock/ingest/folder.h"

#include <algorithm>
#include <map>
#include <utility>

#include "penstock/dataset/dataset.h"
#include "penstock/ingest/registry.h"

namespace penstock::ingest {

namespace {

namespace fs = std::filesystem;

// Sources that are kept open until they are ingested; each holds descriptors.
constexpr size_t kMostKeptOpen = 64;
// After so many files failed for the fault of one and the same other file, files of such a name are
// not opened any more: each of them would read the headers of the whole series.
constexpr int kMostSharedFailures = 16;

struct Entry {
  fs::path path;
  uint64_t bytes = 0;
};

struct Listing {
  std::vector<Entry> files;       // regular files, by path
  std::vector<fs::path> folders;  // by path
};

Result<Listing> List(const fs::path& folder) {
  Listing listing;
  std::error_code problem;
  fs::directory_iterator entry(folder, problem);
  for (; !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    if (!IsVisibleName(entry->path())) continue;
    std::error_code ignored;
    const fs::file_type type = entry->symlink_status(ignored).type();
    if (type == fs::file_type::directory) {
      if (!LooksLikeDataset(entry->path())) listing.folders.push_back(entry->path());
    } else if (type == fs::file_type::regular) {
      const uintmax_t bytes = entry->file_size(ignored);
      listing.files.push_back({entry->path(), ignored ? 0 : bytes});
    }
  }
  if (problem) {
    return Error::FromErrno(problem.value(), "cannot list the folder").In(folder.string());
  }
  std::ranges::sort(listing.files, {}, &Entry::path);
  std::ranges::sort(listing.folders);
  return listing;
}

// "/data/scan_" + ".mib" of "/data/scan_0042.mib": what the files of a series have in common.
std::string SeriesName(const fs::path& path) {
  std::string stem = path.stem().string();
  while (!stem.empty() && stem.back() >= '0' && stem.back() <= '9') stem.pop_back();
  return stem + path.extension().string();
}

const fs::path& FirstFrames(const SourceDescription& description, const fs::path& opened) {
  for (const SourceFile& file : description.files) {
    if (file.role == "frames") return file.path;
  }
  return description.files.empty() ? opened : description.files.front().path;
}

// One folder's files, in order of their names.
class Examination {
 public:
  Examination(const fs::path& root, const FolderOptions& options,
              std::set<fs::path>& claimed_elsewhere)
      : root_(root), options_(options), claimed_elsewhere_(claimed_elsewhere) {}

  Result<FolderContents> Run(const fs::path& folder, const std::stop_token& stop) {
    folder_ = folder;
    PENSTOCK_ASSIGN_OR_RETURN(Listing listing, List(folder));
    for (const fs::path& path : listing.folders) {
      if (!TakeFolderAsSource(path)) contents_.folders.push_back(path);
    }
    for (const Entry& entry : listing.files) {
      if (stop.stop_requested()) return Error::Cancelled("stopped");
      Consider(entry);
    }
    return Finish();
  }

 private:
  std::optional<OpenChoice> ChoiceFor(const fs::path& path) const {
    if (!options_.choose) return OpenChoice{};
    return options_.choose(path.lexically_relative(root_));
  }
  bool IsSettled(const fs::path& path) const {
    return !options_.is_settled || options_.is_settled(path);
  }

  // Some formats are directories of many files.
  bool TakeFolderAsSource(const fs::path& path) {
    const std::optional<OpenChoice> choice = ChoiceFor(path);
    if (!choice || !choice->format.empty() || !DetectSource(path).ok()) return false;
    // Nothing tells yet whether a directory that is being watched is complete.
    if (!options_.is_settled) Open({path, 0}, *choice, Confidence::kYes);
    return true;
  }

  void Consider(const Entry& entry) {
    if (claims_.contains(entry.path) || claimed_elsewhere_.contains(entry.path)) return;
    if (options_.is_done && options_.is_done(entry.path)) return;
    const std::optional<OpenChoice> choice = ChoiceFor(entry.path);
    if (!choice) return;
    if (!IsSettled(entry.path)) {
      contents_.unsettled.push_back(entry.path);
      return;
    }
    Confidence confidence = Confidence::kYes;
    if (choice->format.empty()) {
      auto detected = DetectSource(entry.path);
      if (!detected.ok()) {
        auto& list = detected.error().kind() == ErrorKind::kUnsupported ? contents_.unknown
                                                                        : contents_.failed;
        list.push_back({entry.path, std::move(detected).error(), entry.bytes});
        return;
      }
      confidence = detected->confidence;
    }
    Open(entry, *choice, confidence);
  }

  void Open(const Entry& entry, const OpenChoice& choice, Confidence confidence) {
    const std::string series = SeriesName(entry.path);
    if (const auto shared = shared_failures_.find(series);
        shared != shared_failures_.end() && shared->second >= kMostSharedFailures) {
      return;
    }
    auto source = OpenSource(entry.path, choice.format, choice.open);
    if (!source.ok()) {
      Keep(entry, std::move(source).error(), confidence, series);
      return;
    }
    Claim(entry, choice, *std::move(source));
  }

  void Keep(const Entry& entry, Error error, Confidence confidence, const std::string& series) {
    // What only looked a little like a format, and is none that can be read, is of another kind.
    if (error.kind() == ErrorKind::kUnsupported) {
      auto& list = confidence == Confidence::kYes ? contents_.unsupported : contents_.unknown;
      list.push_back({entry.path, std::move(error), entry.bytes});
      return;
    }
    // One bad file in a series makes every file of it fail: told once.
    const bool is_shared = !error.file().empty() && error.file() != entry.path.string();
    if (is_shared) {
      ++shared_failures_[series];
      if (!culprits_.insert(error.file() + error.what()).second) return;
    }
    contents_.failed.push_back({entry.path, std::move(error), entry.bytes});
  }

  void Claim(const Entry& entry, const OpenChoice& choice, std::shared_ptr<FrameSource> source) {
    const SourceDescription& description = source->description();
    const fs::path& frames = FirstFrames(description, entry.path);
    if (options_.choose && frames != entry.path) {
      // It will be opened again by the rule that holds for it, or is left alone by that rule.
      const std::optional<OpenChoice> own = ChoiceFor(frames);
      if (!own || own->rule != choice.rule) return;
    }
    FoundAcquisition found;
    found.path = entry.path;
    found.relative = entry.path.lexically_relative(root_);
    found.choice = choice;
    found.format = description.format;
    bool settled = true;
    for (const SourceFile& file : description.files) {
      found.files.push_back(file.path.lexically_normal());
      found.bytes += file.identity.size;
      settled = settled && IsSettled(file.path);
    }
    const size_t number = found_.size();
    std::map<size_t, size_t> shared;  // earlier acquisition, number of its files that are in this
    for (const fs::path& file : found.files) {
      const auto [claim, is_new] = claims_.emplace(file, number);
      if (!is_new) ++shared[claim->second];
      if (file.parent_path() != folder_) claimed_elsewhere_.insert(file);
    }
    for (const auto& [earlier, count] : shared) {
      if (earlier == number) continue;
      // The same files by another name, or a part of what this one is the whole of.
      if (count == found.files.size() && count <= found_[earlier].files.size()) {
        claims_.emplace(entry.path, earlier);
        return;
      }
      if (count == found_[earlier].files.size()) dropped_.insert(earlier);
    }
    claims_.emplace(entry.path, number);
    if (!settled) unsettled_.insert(number);
    if (kept_open_ < kMostKeptOpen) {
      ++kept_open_;
      found.source = std::move(source);
    }
    found_.push_back(std::move(found));
  }

  Result<FolderContents> Finish() {
    for (size_t i = 0; i < found_.size(); ++i) {
      if (dropped_.contains(i)) continue;
      if (unsettled_.contains(i)) {
        contents_.unsettled.push_back(found_[i].path);
      } else {
        contents_.acquisitions.push_back(std::move(found_[i]));
      }
    }
    // Opened before the acquisition that it belongs to was known.
    for (auto* list : {&contents_.unknown, &contents_.unsupported, &contents_.failed}) {
      std::erase_if(*list, [this](const LeftOut& left) { return claims_.contains(left.path); });
    }
    return std::move(contents_);
  }

  const fs::path& root_;
  const FolderOptions& options_;
  std::set<fs::path>& claimed_elsewhere_;
  fs::path folder_;
  FolderContents contents_;
  std::vector<FoundAcquisition> found_;
  std::map<fs::path, size_t> claims_;  // file, index into found_
  std::set<size_t> dropped_;           // indices into found_
  std::set<size_t> unsettled_;         // the same
  std::map<std::string, int> shared_failures_;
  std::set<std::string> culprits_;
  size_t kept_open_ = 0;
};

}  // namespace

bool IsVisibleName(const fs::path& path) {
  const std::string name = path.filename().string();
  return !name.empty() && name.front() != '.';
}

Result<std::shared_ptr<FrameSource>> FoundAcquisition::Open() const {
  if (source != nullptr) return source;
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<FrameSource> opened,
                            OpenSource(path, choice.format, choice.open));
  return std::shared_ptr<FrameSource>(std::move(opened));
}

Result<FolderContents> FolderExaminer::Examine(const fs::path& folder,
                                               const std::stop_token& stop) {
  return Examination(root_, options_, claimed_elsewhere_).Run(folder, stop);
}

FolderSize MeasureFolder(const fs::path& root, const std::stop_token& stop) {
  FolderSize size;
  std::vector<fs::path> folders{root};
  while (!folders.empty() && !stop.stop_requested()) {
    const fs::path folder = std::move(folders.back());
    folders.pop_back();
    Result<Listing> listing = List(folder);
    if (!listing.ok()) continue;
    for (const Entry& entry : listing->files) {
      ++size.files;
      size.bytes += entry.bytes;
    }
    std::ranges::move(listing->folders, std::back_inserter(folders));
  }
  return size;
}

}  // namespace penstock::ingest
