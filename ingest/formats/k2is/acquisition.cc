#include "ingest/formats/k2is/acquisition.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "ingest/formats/records/text.h"

namespace penstock::ingest::k2is {

namespace {

// Frames [first_id, last_id] of one run of a sector, whole or not.
FrameSpan SpanOf(const BlockRun& run) {
  return {.frame_shift = run.frame_shift,
          .first_id = run.FrameOf(run.first_count),
          .last_id = run.FrameOf(run.last_count()),
          .first_frame = 0};
}

bool Overlap(const FrameSpan& a, const FrameSpan& b) {
  return a.frame_shift == b.frame_shift && a.first_id <= b.last_id && b.first_id <= a.last_id;
}

std::string SectorName(int sector) { return fmt::format("sector {}", sector + 1); }

std::string RunText(const BlockRun& run) {
  return fmt::format("block {} (frame {}) to block {} (frame {})", run.first_count,
                     run.FrameOf(run.first_count), run.last_count(), run.FrameOf(run.last_count()));
}

class Aligner {
 public:
  Aligner(const AcquisitionFiles& files, bool rescue) : files_(files), rescue_(rescue) {}

  Result<Acquisition> Align() {
    PENSTOCK_RETURN_IF_ERROR(OpenSectors());
    PENSTOCK_RETURN_IF_ERROR(FindCommonSpans());
    PENSTOCK_RETURN_IF_ERROR(DropUnaligned());
    DropShort();
    PENSTOCK_RETURN_IF_ERROR(Trim());
    ReportRepairs();
    return std::move(result_);
  }

 private:
  void Report(AnomalyKind kind, const std::filesystem::path& file, std::string message,
              std::optional<uint64_t> offset = {}, std::optional<int64_t> frame = {}) {
    result_.anomalies.push_back(
        records::MakeAnomaly(kind, file, std::move(message), offset, frame));
  }

  // A sector is given up, or, where that was not asked for, the acquisition is refused.
  Status Lose(int sector, ErrorKind kind, std::string what, std::string expected,
              std::string found) {
    const std::filesystem::path& path = files_.sectors[static_cast<size_t>(sector)];
    if (!rescue_) {
      return Error(kind, SectorName(sector) + " " + what)
          .In(path.string())
          .Expected(std::move(expected))
          .Found(std::move(found))
          .Advice(
              fmt::format("look for the file where the acquisition was written; --rescue goes on "
                          "without it: columns {} to {} are then zero and in the pixel mask",
                          sector * kSectorColumns, (sector + 1) * kSectorColumns - 1));
    }
    result_.lost_sectors.push_back(sector);
    Report(AnomalyKind::kPartialSector, path,
           fmt::format("{} {} ({}): columns {} to {} are zero and in the pixel mask",
                       SectorName(sector), what, found, sector * kSectorColumns,
                       (sector + 1) * kSectorColumns - 1));
    return Status::Ok();
  }

  Status OpenSectors() {
    for (int sector = 0; sector < kSectors; ++sector) {
      const auto index = static_cast<size_t>(sector);
      const std::filesystem::path& path = files_.sectors[index];
      if (!files_.exists[index]) {
        PENSTOCK_RETURN_IF_ERROR(
            Lose(sector, ErrorKind::kNotFound, "is absent", path.filename().string(), "no file"));
        continue;
      }
      auto opened = OpenSectorFile(path, sector);
      if (!opened.ok() && !rescue_) return std::move(opened).error();
      if (!opened.ok()) {
        PENSTOCK_RETURN_IF_ERROR(Lose(sector, ErrorKind::kIo, "cannot be read", "a sector file",
                                      opened.error().ToString()));
      } else if (opened->runs.empty()) {
        PENSTOCK_RETURN_IF_ERROR(
            Lose(sector, ErrorKind::kCorrupt, "has no block",
                 "a block header (sync word ff ff 00 55, 256 x 1860) that another one follows",
                 fmt::format("none in the first 1000000 of {} bytes", opened->identity.size)));
      } else {
        result_.sectors.push_back(std::move(*opened));
      }
    }
    if (!result_.sectors.empty()) return Status::Ok();
    return Error::Corrupt("no sector of the acquisition can be used")
        .In(files_.sectors[0].string())
        .Expected(fmt::format("{}1.bin to {}8.bin", files_.prefix, files_.prefix))
        .Found("none with a block")
        .Advice("check whether the files were copied completely");
  }

  // Sectors that have a frame of `span`.
  size_t Supporters(const FrameSpan& span) const {
    return static_cast<size_t>(std::ranges::count_if(result_.sectors, [&](const SectorFile& file) {
      return std::ranges::any_of(file.runs,
                                 [&](const BlockRun& run) { return Overlap(span, SpanOf(run)); });
    }));
  }

  // Frames that more than half of the sectors have. What a minority claims (a damaged number, a
  // sector of another acquisition) is no frame of the acquisition.
  Status FindCommonSpans() {
    struct Found {
      FrameSpan span;
      uint64_t offset;  // in the file where it begins; for the order
    };
    std::map<int64_t, std::vector<Found>> by_shift;
    for (const SectorFile& file : result_.sectors) {
      for (const BlockRun& run : file.runs) {
        by_shift[run.frame_shift].push_back({SpanOf(run), run.offset});
      }
    }
    std::vector<Found> common;
    for (auto& [shift, found] : by_shift) {
      std::ranges::sort(found, {}, [](const Found& one) { return one.span.first_id; });
      std::vector<Found> merged;
      for (const Found& one : found) {
        if (!merged.empty() && one.span.first_id <= merged.back().span.last_id + 1) {
          merged.back().span.last_id = std::max(merged.back().span.last_id, one.span.last_id);
          merged.back().offset = std::min(merged.back().offset, one.offset);
        } else {
          merged.push_back(one);
        }
      }
      for (const Found& one : merged) {
        if (2 * Supporters(one.span) > result_.sectors.size()) common.push_back(one);
      }
    }
    std::ranges::sort(common, {}, &Found::offset);
    for (const Found& one : common) {
      // Counts that go back: of the two parts the shorter one is not of this acquisition.
      while (!result_.spans.empty()) {
        const FrameSpan& before = result_.spans.back();
        if (before.CountOf(before.last_id) < one.span.CountOf(one.span.first_id)) break;
        if (before.frames() >= one.span.frames()) break;
        ReportDropped(before, one.span);
        result_.spans.pop_back();
      }
      if (!result_.spans.empty() && result_.spans.back().CountOf(result_.spans.back().last_id) >=
                                        one.span.CountOf(one.span.first_id)) {
        ReportDropped(one.span, result_.spans.back());
        continue;
      }
      result_.spans.push_back(one.span);
    }
    if (!result_.spans.empty()) return Status::Ok();
    std::string found;
    for (const SectorFile& file : result_.sectors) {
      found += fmt::format("{}{}: {}", found.empty() ? "" : "; ", SectorName(file.sector),
                           RunText(file.runs.front()));
    }
    return Error::Contradiction("the sectors have no frame in common")
        .In(result_.sectors.front().path.string())
        .Expected("frames that more than half of the sectors have")
        .Found(found)
        .Advice("check whether all sector files belong to the same acquisition");
  }

  void ReportDropped(const FrameSpan& dropped, const FrameSpan& kept) {
    Report(AnomalyKind::kOther, result_.sectors.front().path,
           fmt::format("the block counts go back: frames {} to {} are left out, those from {} to "
                       "{} are taken",
                       dropped.first_id, dropped.last_id, kept.first_id, kept.last_id));
  }

  bool IsCommon(const BlockRun& run) const {
    return std::ranges::any_of(result_.spans,
                               [&](const FrameSpan& span) { return Overlap(span, SpanOf(run)); });
  }

  // Leaves in each sector the runs of the acquisition's frames, in the order of their counts.
  Status DropUnaligned() {
    std::vector<SectorFile> aligned;
    for (SectorFile& file : result_.sectors) {
      std::vector<BlockRun> runs;
      std::ranges::copy_if(file.runs, std::back_inserter(runs),
                           [&](const BlockRun& run) { return IsCommon(run); });
      if (runs.empty()) {
        const FrameSpan& span = result_.spans.front();
        PENSTOCK_RETURN_IF_ERROR(
            Lose(file.sector, ErrorKind::kContradiction, "does not align with the others",
                 fmt::format("frames {} to {} from block {} on, as in the other sectors",
                             span.first_id, span.last_id, span.CountOf(span.first_id)),
                 RunText(file.runs.front())));
        continue;
      }
      const size_t strays = file.runs.size() - runs.size();
      if (strays > 0) {
        Report(AnomalyKind::kPartialSector, file.path,
               fmt::format("{}: {} pieces of the file belong to no frame of the other sectors and "
                           "are left out",
                           SectorName(file.sector), strays));
      }
      std::ranges::stable_sort(runs, {}, &BlockRun::first_count);
      file.runs = std::move(runs);
      aligned.push_back(std::move(file));
    }
    result_.sectors = std::move(aligned);
    return Status::Ok();
  }

  static int64_t LastCount(const SectorFile& file) {
    return std::ranges::max(file.runs, {}, &BlockRun::last_count).last_count();
  }

  // The acquisition ends with its shortest sector, unless that is to be given up.
  void DropShort() {
    std::vector<int64_t> ends;
    for (const SectorFile& file : result_.sectors) ends.push_back(LastCount(file));
    std::ranges::sort(ends);
    const int64_t usual = ends[ends.size() / 2];
    const int64_t begin = result_.spans.front().CountOf(result_.spans.front().first_id);
    std::vector<SectorFile> kept;
    for (SectorFile& file : result_.sectors) {
      const int64_t lost_frames = (usual - LastCount(file)) / kBlocksPerFrame;
      const int64_t frames = (usual - begin) / kBlocksPerFrame;
      if (lost_frames < 2) {
        kept.push_back(std::move(file));
        continue;
      }
      if (rescue_ && lost_frames > frames / 100) {
        // Cannot fail: rescue is on.
        (void)Lose(file.sector, ErrorKind::kCorrupt, "is too short", "",
                   fmt::format("it ends {} frames before the others", lost_frames));
        continue;
      }
      Report(AnomalyKind::kTruncated, file.path,
             fmt::format("{} ends {} frames before the others: the acquisition ends with it; "
                         "--rescue gives up a sector that lacks more than 1 % of the frames",
                         SectorName(file.sector), lost_frames),
             file.identity.size);
      kept.push_back(std::move(file));
    }
    result_.sectors = std::move(kept);
  }

  // Whole frames that every sector has reached and none has left.
  Status Trim() {
    int64_t first_count = INT64_MIN;
    int64_t last_count = INT64_MAX;
    std::string begins;
    for (const SectorFile& file : result_.sectors) {
      first_count = std::max(first_count, file.runs.front().first_count);
      last_count = std::min(last_count, LastCount(file));
      begins += fmt::format("{}{}", begins.empty() ? "" : ", ", file.runs.front().first_count);
    }
    ReportLateStarts();
    std::vector<FrameSpan> spans;
    for (FrameSpan span : result_.spans) {
      // CountOf is monotone; both ends move by few frames, or the span drops out.
      const int64_t skip = first_count - span.CountOf(span.first_id);
      if (skip > 0) span.first_id += (skip + kBlocksPerFrame - 1) / kBlocksPerFrame;
      const int64_t surplus = span.CountOf(span.last_id) + kBlocksPerFrame - 1 - last_count;
      if (surplus > 0) span.last_id -= (surplus + kBlocksPerFrame - 1) / kBlocksPerFrame;
      if (span.first_id > span.last_id) continue;
      span.first_frame = result_.frame_count;
      result_.frame_count += span.frames();
      spans.push_back(span);
    }
    result_.spans = std::move(spans);
    if (result_.frame_count == 0) {
      return Error::Corrupt("no frame is complete in all sectors")
          .In(result_.sectors.front().path.string())
          .Expected("32 blocks of one frame in each sector")
          .Found(fmt::format("the sectors begin with blocks {} and the first one ends with {}",
                             begins, last_count))
          .Advice("check whether the files were copied completely");
    }
    result_.start_evidence = fmt::format(
        "the sectors begin with blocks {}; the first whole frame in all is number {}, "
        "the last {}",
        begins, result_.spans.front().first_id, result_.spans.back().last_id);
    return Status::Ok();
  }

  void ReportLateStarts() {
    std::vector<int64_t> starts;
    for (const SectorFile& file : result_.sectors) starts.push_back(file.runs.front().first_count);
    std::ranges::sort(starts);
    const int64_t usual = starts[starts.size() / 2];
    for (const SectorFile& file : result_.sectors) {
      const int64_t late = (file.runs.front().first_count - usual) / kBlocksPerFrame;
      if (late < 2) continue;
      Report(AnomalyKind::kPartialSector, file.path,
             fmt::format("{} begins {} frames after the others: the acquisition begins with it",
                         SectorName(file.sector), late),
             file.runs.front().offset);
    }
  }

  // What is not as it should be inside the acquisition, each once per place.
  void ReportRepairs() {
    constexpr int kMostPerSector = 16;
    for (const SectorFile& file : result_.sectors) {
      // A block that is cut off in front is usual; more than that means damage.
      if (file.bytes_in_front >= kBlockBytes) {
        Report(AnomalyKind::kPartialSector, file.path,
               fmt::format("{}: {} bytes before the first block are left out",
                           SectorName(file.sector), file.bytes_in_front),
               0);
      }
      if (file.bytes_behind >= kBlockBytes) {
        Report(AnomalyKind::kPartialSector, file.path,
               fmt::format("{}: {} bytes after the last block are left out",
                           SectorName(file.sector), file.bytes_behind),
               file.identity.size - file.bytes_behind);
      }
      int reported = 0;
      for (size_t i = 1; i < file.runs.size() && reported < kMostPerSector; ++i) {
        const BlockRun& before = file.runs[i - 1];
        const BlockRun& run = file.runs[i];
        const int64_t lost = run.first_count - before.last_count() - 1;
        const uint64_t end = before.OffsetOf(before.last_count()) + kBlockBytes;
        if (lost == 0 && run.offset == end) continue;  // only the frame number jumps
        if (lost > 0 && lost % kBlocksPerFrame == 0 && run.offset == end) continue;  // in all
        ++reported;
        Report(lost < 0 ? AnomalyKind::kDuplicateFrame : AnomalyKind::kPartialSector, file.path,
               fmt::format("{}: {} in front of block {} of frame {}", SectorName(file.sector),
                           lost < 0   ? fmt::format("{} blocks are there twice", -lost)
                           : lost > 0 ? fmt::format("{} blocks are missing", lost)
                                      : fmt::format("{} bytes are no block",
                                                    run.offset > end ? run.offset - end : 0),
                           run.first_count, run.FrameOf(run.first_count)),
               run.offset);
      }
    }
  }

  const AcquisitionFiles& files_;
  const bool rescue_;
  Acquisition result_;
};

}  // namespace

FramePlace Acquisition::PlaceOf(int64_t frame) const {
  const auto behind = std::ranges::upper_bound(spans, frame, {}, &FrameSpan::first_frame);
  const FrameSpan& span = *std::prev(behind);
  const int64_t id = span.first_id + frame - span.first_frame;
  return {.id = id, .first_count = span.CountOf(id)};
}

std::vector<FramePiece> PiecesOf(const SectorFile& sector, const FramePlace& place) {
  std::vector<FramePiece> pieces;
  const int64_t end = place.first_count + kBlocksPerFrame;
  auto run = std::ranges::upper_bound(sector.runs, place.first_count, {}, &BlockRun::first_count);
  if (run != sector.runs.begin()) --run;
  // Runs of one block (duplicates) may begin before a longer one that reaches further.
  while (run != sector.runs.begin() && std::prev(run)->last_count() >= place.first_count) --run;
  int64_t next = place.first_count;
  for (; run != sector.runs.end() && run->first_count < end && next < end; ++run) {
    const int64_t from = std::max(next, run->first_count);
    const int64_t to = std::min(end, run->last_count() + 1);
    if (from >= to) continue;
    pieces.push_back({run->OffsetOf(from), from, to - from});
    next = to;
  }
  return pieces;
}

Result<Acquisition> OpenAcquisition(const AcquisitionFiles& files, bool rescue) {
  return Aligner(files, rescue).Align();
}

}  // namespace penstock::ingest::k2is
