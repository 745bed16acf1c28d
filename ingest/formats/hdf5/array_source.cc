// The FrameSource of all dresses: arrays that follow each other.

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>

#include "ingest/formats/hdf5/selection.h"

namespace penstock::ingest::hdf5 {

namespace {

class SourceMaker;

// Decoded chunks that are kept for the frames still to come; see ChunkCache.
constexpr uint64_t kMaxCacheBytes = uint64_t{96} << 20;
constexpr size_t kMaxPieces = 1000000;
constexpr int kMaxVirtualDepth = 4;

// Frames [first, first + count) of the source.
struct Piece {
  uint64_t first = 0;
  uint64_t count = 0;
  const FrameReader* reader = nullptr;  // none: a virtual dataset has nothing there
  uint64_t reader_first = 0;
};

class ArraySource final : public FrameSource {
 public:
  const SourceDescription& description() const override { return description_; }

  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override {
    assert(0 <= first && first <= last && last <= description_.frame_count);
    auto from = static_cast<uint64_t>(first);
    const auto to = static_cast<uint64_t>(last);
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), from,
                                  [](uint64_t f, const Piece& p) { return f < p.first; });
    --piece;
    while (from < to) {
      const uint64_t end = std::min(to, piece->first + piece->count);
      const auto part = destination.first((end - from) * frame_bytes_);
      if (piece->reader == nullptr) {
        std::memset(part.data(), 0, part.size());
        for (uint64_t frame = from; frame < end; ++frame) {
          context.report->MarkInvalid(static_cast<int64_t>(frame),
                                      "the virtual dataset has no source for it");
        }
      } else {
        const uint64_t shift = piece->reader_first - piece->first;  // modulo 2^64
        PENSTOCK_RETURN_IF_ERROR(piece->reader->Decode(from + shift, end + shift,
                                                       static_cast<int64_t>(from), part, context));
      }
      destination = destination.subspan(part.size());
      from = end;
      ++piece;
    }
    return Status::Ok();
  }

  std::optional<FrameLocation> Locate(int64_t frame) const override {
    const auto number = static_cast<uint64_t>(frame);
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), number,
                                  [](uint64_t f, const Piece& p) { return f < p.first; });
    --piece;
    if (piece->reader == nullptr) return std::nullopt;
    return piece->reader->Locate(piece->reader_first + (number - piece->first));
  }

 private:
  friend class SourceMaker;

  SourceDescription description_;
  std::vector<std::unique_ptr<FrameReader>> readers_;
  std::vector<Piece> pieces_;
  uint64_t frame_bytes_ = 0;
};

class SourceMaker {
 public:
  SourceMaker(std::string_view format, const std::shared_ptr<Container>& container,
              Selection selection)
      : format_(format), container_(container), selection_(std::move(selection)) {}

  Result<std::unique_ptr<FrameSource>> Make() {
    const Hdf5Session session;
    AddFile(*container_, "frames");
    PENSTOCK_RETURN_IF_ERROR(DropSingleAxes());
    cache_ = std::make_shared<ChunkCache>(kMaxCacheBytes);
    std::vector<Object> parts = std::move(selection_.parts);
    for (Object& part : parts) PENSTOCK_RETURN_IF_ERROR(AddPart(std::move(part)));
    PENSTOCK_RETURN_IF_ERROR(Describe());
    return std::unique_ptr<FrameSource>(std::move(source_));
  }

 private:
  SourceDescription& description() { return source_->description_; }

  size_t AddFile(const Container& container, const char* role) {
    auto& files = description().files;
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i].path == container.path()) return i;
    }
    files.push_back({.path = container.path(),
                     .role = role,
                     .media_type = "application/x-hdf5",
                     .identity = container.identity()});
    return files.size() - 1;
  }

  Status DropSingleAxes() {
    const Object& first = selection_.parts.front();
    const std::vector<uint64_t> shape = first.Shape();
    if (shape.size() != selection_.axes.fixed.size()) {
      return Error::Internal("the axes are not those of the dataset").In(first.Place());
    }
    chunked::DropSingleAxes(selection_.axes, shape, selection_.parts.size() > 1);
    return Status::Ok();
  }

  // Frames per item along the first navigation axis.
  uint64_t FramesPerItem(const std::vector<uint64_t>& shape) const {
    uint64_t frames = 1;
    for (size_t i = 1; i < selection_.axes.navigation.size(); ++i) {
      frames *= shape[selection_.axes.navigation[i]];
    }
    return frames;
  }

  Status AddPart(Object object) {
    const std::vector<uint64_t> shape = object.Shape();
    if (!first_shape_.empty() && !SameFrames(shape)) {
      return Error::Contradiction("the datasets that hold the frames differ in shape")
          .In(object.container()->path().string())
          .At(object.path())
          .Expected(ShapeText(first_shape_) + " but for the first axis")
          .Found(ShapeText(shape));
    }
    if (first_shape_.empty()) first_shape_ = shape;
    const uint64_t items =
        selection_.axes.navigation.empty() ? 1 : shape[selection_.axes.navigation[0]];
    return AddItems(std::move(object), 0, items, kMaxVirtualDepth);
  }

  bool SameFrames(const std::vector<uint64_t>& shape) const {
    if (shape.size() != first_shape_.size()) return false;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const bool stacked =
          !selection_.axes.navigation.empty() && axis == selection_.axes.navigation[0];
      if (!stacked && shape[axis] != first_shape_[axis]) return false;
    }
    return true;
  }

  // Items [first, last) along the first navigation axis.
  Status AddItems(Object object, uint64_t first, uint64_t last, int depth) {
    const uint64_t per_item = FramesPerItem(object.Shape());
    PENSTOCK_ASSIGN_OR_RETURN(const VirtualLayout layout, ReadVirtualLayout(object));
    const bool along_first =
        !selection_.axes.navigation.empty() && selection_.axes.navigation[0] == 0;
    if (!layout.is_virtual || !layout.simple || !along_first || depth == 0) {
      return AddArray(std::move(object), first, last, per_item);
    }
    uint64_t at = first;
    for (const VirtualPart& part : layout.parts) {
      const uint64_t end = part.first + part.count;
      if (part.first < at && end > at) {
        // Later parts of a virtual dataset lie over earlier ones: leave that to the library.
        if (part.first > first || at != first) {
          return Error::Unsupported("the parts of a virtual dataset overlap")
              .In(object.container()->path().string())
              .At(object.path());
        }
      }
      if (end <= at || part.first >= last) continue;
      if (part.first > at) AddGap(part.first - at, per_item);
      at = std::max(at, part.first);
      const uint64_t stop = std::min(end, last);
      PENSTOCK_ASSIGN_OR_RETURN(Object source, PartOf(object, part));
      if (source.Shape().size() != first_shape_.size() || !SameFrames(source.Shape()) ||
          source.Shape()[0] < part.source_first + part.count) {
        return Error::Corrupt("a part of a virtual dataset has not the shape that it should have")
            .In(source.container()->path().string())
            .At(source.path())
            .Expected(fmt::format("{} from {} on, in {}", part.count, part.source_first,
                                  ShapeText(first_shape_)))
            .Found(ShapeText(source.Shape()));
      }
      const uint64_t source_first = part.source_first + (at - part.first);
      PENSTOCK_RETURN_IF_ERROR(
          AddItems(std::move(source), source_first, source_first + (stop - at), depth - 1));
      at = stop;
    }
    if (at < last) AddGap(last - at, per_item);
    return Status::Ok();
  }

  Result<Object> PartOf(const Object& object, const VirtualPart& part) {
    if (part.file == ".") return object.Get("/" + part.path);
    PENSTOCK_ASSIGN_OR_RETURN(const auto other, object.container()->OpenNeighbour(part.file));
    keep_open_.push_back(other);
    PENSTOCK_ASSIGN_OR_RETURN(const Object root, Object::Root(other));
    return root.Get("/" + part.path);
  }

  void AddGap(uint64_t items, uint64_t per_item) {
    source_->pieces_.push_back({frames_, items * per_item, nullptr, 0});
    frames_ += items * per_item;
    gap_frames_ += items * per_item;
  }

  Status AddArray(Object object, uint64_t first, uint64_t last, uint64_t per_item) {
    const ObjectKey key = object.key();
    const FrameReader* reader = nullptr;
    for (size_t i = 0; i < keys_.size(); ++i) {
      if (keys_[i] == key) reader = source_->readers_[i].get();
    }
    if (reader == nullptr) {
      const size_t file = AddFile(*object.container(), "frames");
      PENSTOCK_ASSIGN_OR_RETURN(Array array, OpenArray(std::move(object)));
      const uint64_t cache_key = (uint64_t{source_->readers_.size()} + 1) << 40;
      source_->readers_.push_back(std::make_unique<FrameReader>(std::move(array), selection_.axes,
                                                                file, cache_key, cache_));
      // Of thousands of parts, as of a Dectris series, only those with many chunks are looked up.
      keys_.push_back(key);
      reader = source_->readers_.back().get();
    }
    if (source_->pieces_.size() > kMaxPieces) {
      return Error::Unsupported("too many parts").In(container_->path().string());
    }
    source_->pieces_.push_back({frames_, (last - first) * per_item, reader, first * per_item});
    frames_ += (last - first) * per_item;
    return Status::Ok();
  }

  Anomaly MakeAnomaly(AnomalyKind kind, std::string message) const {
    Anomaly anomaly;
    anomaly.kind = kind;
    anomaly.file = container_->path().string();
    anomaly.message = std::move(message);
    return anomaly;
  }

  // Chunks that were never written: at the end these are missing frames, elsewhere Decode marks
  // them.
  void LookForUnwritten() {
    uint64_t missing = 0;
    for (const auto& reader : source_->readers_) missing += reader->array().missing_chunks;
    if (missing == 0) return;
    const Piece& last = source_->pieces_.back();
    if (last.reader != nullptr) {
      const uint64_t written = last.reader->WrittenFrames();
      const uint64_t end = last.reader_first + last.count;
      if (written < end) frames_ -= std::min(end - written, last.count);
    }
    description().anomalies.push_back(MakeAnomaly(
        AnomalyKind::kMissingFrame,
        fmt::format("{} chunks were never written: the acquisition or the copying of it was not "
                    "finished; {} frames are there",
                    missing, frames_)));
  }

  Status Describe() {
    const FrameReader& reader = *source_->readers_.front();
    SourceDescription& d = description();
    for (const auto& other : source_->readers_) {
      if (other->array().type == reader.array().type) continue;
      return Error::Contradiction("the datasets that hold the frames differ in type")
          .In(other->array().container->path().string())
          .At(other->array().path)
          .Expected(std::string(ZarrDataType(reader.array().type)))
          .Found(std::string(ZarrDataType(other->array().type)));
    }
    const uint64_t all_frames = frames_;
    LookForUnwritten();
    if (gap_frames_ > 0) {
      d.anomalies.push_back(MakeAnomaly(
          AnomalyKind::kMissingFrame,
          fmt::format("the virtual dataset has no source for {} of its frames", gap_frames_)));
    }
    d.format = format_;
    d.suggested_name = selection_.suggested_name.empty() ? container_->path().stem().string()
                                                         : selection_.suggested_name;
    d.signal = reader.signal();
    d.element_type = reader.array().type;
    d.frame_count = static_cast<int64_t>(frames_);
    source_->frame_bytes_ = reader.frame_bytes();
    d.scan_shapes = std::move(selection_.scan_shapes);
    if (selection_.shape_is_evidence) {
      chunked::DescribeShape(selection_, first_shape_, static_cast<int64_t>(all_frames),
                             reader.array().Place(), container_->path().string(), d);
    }
    d.missing_frames = std::move(selection_.missing_frames);
    d.facts = std::move(selection_.facts);
    d.axes = std::move(selection_.scan_axes);
    d.vendor_headers = std::move(selection_.vendor_headers);
    std::ranges::move(selection_.anomalies, std::back_inserter(d.anomalies));
    std::ranges::move(selection_.other_files, std::back_inserter(d.files));
    chunked::DescribeAxes(selection_, d);
    AddMemory();
    bool library = false;
    for (const auto& other : source_->readers_) library |= other->array().needs_library();
    for (const auto& other : source_->readers_) {
      if (other->array().container->open_for_writing()) {
        d.growing = true;
      }
      if (!library) other->array().container->CloseLibrary();
    }
    if (!library) container_->CloseLibrary();
    return Status::Ok();
  }

  void AddMemory() {
    ChunkHint hint;
    for (const auto& reader : source_->readers_) {
      hint.frames = std::max(hint.frames, reader->FramesPerChunk());
      hint.scratch_bytes = std::max(hint.scratch_bytes, reader->ScratchBytes());
      hint.shared_bytes =
          std::max(hint.shared_bytes, std::min(kMaxCacheBytes, reader->CacheBytes()));
    }
    uint64_t tables = 0;
    for (const auto& reader : source_->readers_) tables += reader->array().chunks.size() * 20;
    hint.shared_bytes += tables;
    description().chunks = hint;
  }

  const std::string format_;
  const std::shared_ptr<Container> container_;
  Selection selection_;
  std::unique_ptr<ArraySource> source_ = std::make_unique<ArraySource>();
  std::shared_ptr<ChunkCache> cache_;
  std::vector<uint64_t> first_shape_;
  std::vector<ObjectKey> keys_;
  std::vector<std::shared_ptr<Container>> keep_open_;
  uint64_t frames_ = 0;
  uint64_t gap_frames_ = 0;
};

}  // namespace

Result<std::unique_ptr<FrameSource>> MakeSource(std::string_view format,
                                                const std::shared_ptr<Container>& container,
                                                Selection selection) {
  return SourceMaker(format, container, std::move(selection)).Make();
}

}  // namespace penstock::ingest::hdf5
