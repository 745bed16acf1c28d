#include "ingest/formats/mib/mib_series.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "ingest/formats/records/text.h"

namespace penstock::ingest {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOneFileAdvice =
    "open each acquisition by itself (--this-file-only), or move the files of other acquisitions "
    "away";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool HasExtension(std::string_view name, std::string_view extension) {
  return name.size() > extension.size() &&
         std::ranges::equal(name.substr(name.size() - extension.size()), extension, {}, Lower);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string_view WithoutDigits(std::string_view stem) {
  while (!stem.empty() && IsDigit(stem.back())) stem.remove_suffix(1);
  return stem;
}

bool IsRegularFile(const fs::path& path) {
  std::error_code code;
  return fs::is_regular_file(path, code);
}

// "scan.hdr" or "scan.HDR" beside "scan.mib".
std::optional<fs::path> SidecarOf(const fs::path& mib) {
  for (const char* extension : {".hdr", ".HDR", ".Hdr"}) {
    fs::path candidate = mib;
    candidate.replace_extension(extension);
    if (IsRegularFile(candidate)) return candidate;
  }
  return std::nullopt;
}

// A file that may belong to the acquisition.
struct Candidate {
  MibFile file;
  // The name is the prefix and digits, as the Merlin software makes it. Other names need the
  // evidence of sequence numbers that continue.
  bool numbered = false;

  int64_t first_sequence() const { return file.first_header.sequence_number; }
  int64_t end_sequence() const { return first_sequence() + file.frame_count; }
};

class Collector {
 public:
  Collector(fs::path opened, std::string prefix)
      : opened_(std::move(opened)), prefix_(std::move(prefix)) {}

  Result<MibSeries> Collect(std::optional<fs::path> sidecar_path, bool sidecar_was_opened,
                            bool this_file_only);

 private:
  Status ReadSidecar(const fs::path& path, bool must_be_good);
  Result<std::vector<fs::path>> Names() const;
  Status Consider(const fs::path& path);
  Status Order();
  void DropStrayOverlaps();
  void FlagOverlapsAndTails();
  void Report(AnomalyKind kind, const fs::path& path, std::string message,
              std::optional<uint64_t> offset = std::nullopt,
              std::optional<int64_t> frame = std::nullopt);
  bool Holds(const MibSidecar& sidecar, const MibFile& file) const {
    return sidecar.GetCount(mib_key::kFrames) == file.frame_count;
  }

  const fs::path opened_;
  const std::string prefix_;
  bool opened_has_sidecar_ = false;
  std::vector<Candidate> members_;
  MibSeries series_;
};

void Collector::Report(AnomalyKind kind, const fs::path& path, std::string message,
                       std::optional<uint64_t> offset, std::optional<int64_t> frame) {
  series_.anomalies.push_back(records::MakeAnomaly(kind, path, std::move(message), offset, frame));
}

Status Collector::ReadSidecar(const fs::path& path, bool must_be_good) {
  Result<MibSidecar> sidecar = ReadMibSidecar(path);
  if (!sidecar.ok()) {
    if (must_be_good) return std::move(sidecar).error();
    Report(AnomalyKind::kOther, path, "left out: " + sidecar.error().ToString());
    return {};
  }
  series_.sidecar = std::move(*sidecar);
  return {};
}

// The other .mib files of the directory whose names begin with the prefix. Compared as text: what
// would be a pattern in a shell has no meaning here.
Result<std::vector<fs::path>> Collector::Names() const {
  const fs::path directory = opened_.has_parent_path() ? opened_.parent_path() : fs::path(".");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (!stream) return Error::FromErrno(errno, "cannot list the directory").In(directory);
  std::vector<fs::path> paths;
  const std::string own_name = opened_.filename();
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name == own_name || !name.starts_with(prefix_) || !HasExtension(name, ".mib")) continue;
    const std::string_view suffix = name.substr(prefix_.size(), name.size() - prefix_.size() - 4);
    const bool numbered = std::ranges::all_of(suffix, IsDigit);
    // A name of digits alone leaves no prefix; then only such names can belong.
    if (prefix_.empty() && !numbered) continue;
    paths.push_back(opened_.has_parent_path() ? directory / name : fs::path(name));
  }
  std::ranges::sort(paths);
  return paths;
}

// Takes the file in as a member, leaves it out with a reason, or fails where only the user can say.
Status Collector::Consider(const fs::path& path) {
  const std::string stem = path.stem();
  const bool numbered = std::ranges::all_of(
      std::string_view(stem).substr(std::min(prefix_.size(), stem.size())), IsDigit);
  Result<MibFile> inspected = InspectMibFile(path);
  if (!inspected.ok()) {
    std::error_code code;
    const bool empty = fs::file_size(path, code) == 0 && !code;
    if (empty) {
      Report(AnomalyKind::kTruncated, path, "left out of the series: the file is empty");
      return {};
    }
    if (numbered) {
      return std::move(inspected).error().Context("reading the series of " + opened_.string());
    }
    Report(AnomalyKind::kOther, path, "left out of the series: " + inspected.error().ToString());
    return {};
  }
  Candidate candidate{std::move(*inspected), numbered};

  // An acquisition has one .hdr file: a file with its own is another acquisition, unless it can be
  // the first file of this one.
  if (const auto own = SidecarOf(path)) {
    if (opened_has_sidecar_) return {};
    Result<MibSidecar> sidecar = ReadMibSidecar(*own);
    if (sidecar.ok() && Holds(*sidecar, candidate.file)) {
      if (series_.sidecar && series_.sidecar->path == *own) series_.sidecar.reset();
      return {};
    }
    if (sidecar.ok() && !series_.sidecar) series_.sidecar = std::move(*sidecar);
  }

  const MibFile& reference = members_.front().file;
  if (candidate.file.geometry.layout != reference.geometry.layout) {
    const bool another_run = !numbered || candidate.first_sequence() <= 1 ||
                             candidate.first_sequence() == reference.first_header.sequence_number;
    const std::string found = candidate.file.geometry.layout.ToString();
    const std::string expected = reference.geometry.layout.ToString();
    if (!another_run) {
      return Error::Contradiction("a file of the series holds frames of another layout")
          .In(path)
          .Expected(expected)
          .Found(found)
          .Advice(std::string(kOneFileAdvice));
    }
    Report(AnomalyKind::kOther, path,
           fmt::format("left out of the series: its frames are {}, those of {} are {}", found,
                       reference.path.filename().string(), expected));
    return {};
  }
  if (candidate.file.frame_count == 0) {
    Report(AnomalyKind::kTruncated, path,
           fmt::format("left out of the series: {} bytes are less than one frame ({} bytes)",
                       candidate.file.identity.size, candidate.file.geometry.record_bytes),
           0);
    return {};
  }
  members_.push_back(std::move(candidate));
  return {};
}

// Files whose name alone suggests that they belong must continue the numbering of the others.
void Collector::DropStrayOverlaps() {
  std::ranges::stable_sort(members_, {}, [](const Candidate& member) {
    return std::pair(!member.numbered, member.first_sequence());
  });
  std::vector<Candidate> kept;
  for (Candidate& member : members_) {
    const auto overlap = std::ranges::find_if(kept, [&member](const Candidate& other) {
      return other.first_sequence() < member.end_sequence() &&
             member.first_sequence() < other.end_sequence();
    });
    if (member.numbered || overlap == kept.end()) {
      kept.push_back(std::move(member));
      continue;
    }
    Report(AnomalyKind::kOther, member.file.path,
           fmt::format("left out of the series: the name fits, but frames {} to {} are in {}: "
                       "another acquisition",
                       member.first_sequence(), member.end_sequence() - 1,
                       overlap->file.path.filename().string()));
  }
  members_ = std::move(kept);
}

Status Collector::Order() {
  std::ranges::stable_sort(members_, {}, &Candidate::first_sequence);
  for (size_t i = 1; i < members_.size(); ++i) {
    const Candidate& before = members_[i - 1];
    const Candidate& after = members_[i];
    if (before.first_sequence() != after.first_sequence()) continue;
    return Error::Contradiction("two files of the series begin with the same sequence number")
        .In(after.file.path)
        .Expected("files of one acquisition, numbered through")
        .Found(fmt::format("sequence number {} at the start of {} and of {}",
                           after.first_sequence(), before.file.path.filename().string(),
                           after.file.path.filename().string()))
        .Advice(std::string(kOneFileAdvice));
  }
  return {};
}

void Collector::FlagOverlapsAndTails() {
  for (size_t i = 0; i < members_.size(); ++i) {
    const Candidate& member = members_[i];
    const MibFile& file = member.file;
    const int64_t next_frame = series_.first_frames[i + 1];
    if (file.trailing_bytes != 0) {
      Report(AnomalyKind::kTruncated, file.path,
             fmt::format("the last frame is not complete: {} of {} bytes; it is left out",
                         file.trailing_bytes, file.geometry.record_bytes),
             file.OffsetOf(file.frame_count), next_frame);
    }
    if (i + 1 < members_.size() && members_[i + 1].first_sequence() < member.end_sequence()) {
      Report(AnomalyKind::kHeaderContradiction, members_[i + 1].file.path,
             fmt::format("begins with sequence number {}, but {} holds frames up to {}",
                         members_[i + 1].first_sequence(), file.path.filename().string(),
                         member.end_sequence() - 1),
             0, next_frame);
    }
  }
  if (members_.size() > kMibManyFiles) {
    Report(AnomalyKind::kOther, opened_,
           fmt::format("the series has {} files, more than {}", members_.size(), kMibManyFiles));
  }
}

Result<MibSeries> Collector::Collect(std::optional<fs::path> sidecar_path, bool sidecar_was_opened,
                                     bool this_file_only) {
  const std::optional<fs::path> own = SidecarOf(opened_);
  opened_has_sidecar_ = own.has_value() || sidecar_was_opened;
  if (!sidecar_path) sidecar_path = own;
  if (!sidecar_path) sidecar_path = SidecarOf(opened_.parent_path() / (prefix_ + ".mib"));
  if (sidecar_path) PENSTOCK_RETURN_IF_ERROR(ReadSidecar(*sidecar_path, sidecar_was_opened));

  PENSTOCK_ASSIGN_OR_RETURN(MibFile opened, InspectMibFile(opened_));
  if (opened.frame_count == 0) {
    return Error::Corrupt("the file holds no complete frame")
        .In(opened_)
        .AtOffset(0)
        .AtFrame(0)
        .Expected(fmt::format("{} bytes per frame ({})", opened.geometry.record_bytes,
                              opened.geometry.layout.ToString()))
        .Found(fmt::format("{} bytes", opened.identity.size))
        .Advice("check whether the file was copied completely");
  }
  // With a prefix's .hdr file alone, the other files say whether it is this one's.
  const bool is_whole = opened_has_sidecar_ && series_.sidecar && Holds(*series_.sidecar, opened);
  members_.push_back({std::move(opened), true});
  if (!this_file_only && !is_whole) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<fs::path> names, Names());
    for (const fs::path& path : names) {
      if (!IsRegularFile(path)) continue;
      PENSTOCK_RETURN_IF_ERROR(Consider(path));
    }
    DropStrayOverlaps();
  }
  PENSTOCK_RETURN_IF_ERROR(Order());

  series_.first_frames = {0};
  for (const Candidate& member : members_) {
    series_.first_frames.push_back(series_.first_frames.back() + member.file.frame_count);
  }
  FlagOverlapsAndTails();
  for (Candidate& member : members_) series_.files.push_back(std::move(member.file));
  series_.name = series_.files.size() == 1 ? opened_.stem().string() : prefix_;
  while (series_.name.size() > 1 && (series_.name.ends_with('_') || series_.name.ends_with('-'))) {
    series_.name.pop_back();
  }
  if (series_.name.empty()) series_.name = opened_.stem().string();
  return std::move(series_);
}

// The .mib file to begin with when the .hdr file was given: the one of the same name, else the
// first by name of those that begin with it.
Result<fs::path> MibFileOf(const fs::path& sidecar) {
  const fs::path directory = sidecar.has_parent_path() ? sidecar.parent_path() : fs::path(".");
  const std::string stem = sidecar.stem();
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (!stream) return Error::FromErrno(errno, "cannot list the directory").In(directory);
  std::optional<std::string> best;
  bool best_is_numbered = false;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (!name.starts_with(stem) || !HasExtension(name, ".mib")) continue;
    const std::string_view suffix =
        std::string_view(name).substr(stem.size(), name.size() - stem.size() - 4);
    const bool numbered = std::ranges::all_of(suffix, IsDigit);
    if (!best || (numbered && !best_is_numbered) ||
        (numbered == best_is_numbered &&
         std::pair(name.size(), name) < std::pair(best->size(), *best))) {
      best = name;
      best_is_numbered = numbered;
    }
  }
  if (!best) {
    return Error::NotFound("there is no .mib file for this .hdr file")
        .In(sidecar)
        .Expected(fmt::format("{}.mib or {}1.mib in the same directory", stem, stem));
  }
  return sidecar.has_parent_path() ? directory / *best : fs::path(*best);
}

Result<bool> StartsLikeSidecar(const fs::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenMibFile(path));
  std::array<std::byte, 3> start{};
  PENSTOCK_ASSIGN_OR_RETURN(const size_t size, ReadSome(fd.get(), 0, start, path));
  return size == start.size() && std::ranges::equal(start, AsBytes("HDR"));
}

}  // namespace

size_t MibSeries::FileOfFrame(int64_t frame) const {
  const auto after = std::ranges::upper_bound(first_frames, frame);
  return static_cast<size_t>(after - first_frames.begin()) - 1;
}

Result<MibSeries> CollectMibSeries(const fs::path& path, bool this_file_only) {
  PENSTOCK_ASSIGN_OR_RETURN(const bool is_sidecar, StartsLikeSidecar(path));
  if (is_sidecar) {
    PENSTOCK_ASSIGN_OR_RETURN(const fs::path mib, MibFileOf(path));
    Collector collector(mib, path.stem());
    return collector.Collect(path, true, this_file_only);
  }
  Collector collector(path, std::string(WithoutDigits(path.stem().string())));
  return collector.Collect(std::nullopt, false, this_file_only);
}

}  // namespace penstock::ingest
