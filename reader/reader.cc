#include "penstock/reader/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "reader/io/frame_reader.h"
#include "reader/io/lease_client.h"
#include "reader/pass_target.h"
#include "reader/reader_state.h"

namespace penstock {

namespace {

struct BackendText {
  Backend backend;
  std::string_view name;
};
constexpr std::array<BackendText, 4> kBackends = {{{Backend::kAutomatic, "automatic"},
                                                   {Backend::kMmap, "mmap"},
                                                   {Backend::kDirect, "direct"},
                                                   {Backend::kPread, "pread"}}};

using PixelFlags = std::shared_ptr<const std::vector<uint8_t>>;

// Null where all are good.
Result<PixelFlags> GoodPixels(const Dataset& dataset) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<uint32_t> mask, dataset.ReadPixelMask());
  const auto is_good = [](uint32_t bits) { return bits == 0; };
  if (std::ranges::all_of(mask, is_good)) return PixelFlags();
  if (mask.size() != static_cast<size_t>(dataset.shape().signal.pixel_count())) {
    return Error::Corrupt("pixel_mask does not fit the frames")
        .In(dataset.directory().string())
        .Expected(fmt::format("{} pixels", dataset.shape().signal.pixel_count()))
        .Found(fmt::format("{}", mask.size()));
  }
  auto good = std::make_shared<std::vector<uint8_t>>(mask.size());
  std::ranges::transform(mask, good->begin(), is_good);
  return PixelFlags(std::move(good));
}

// That there is such a frame.
Status CheckFrame(const PassTarget& target, int64_t frame) {
  if (frame < 0 || frame >= target.shape.frame_count()) {
    return Error::InvalidArgument(fmt::format("there is no frame {}", frame))
        .In(target.name)
        .Expected(fmt::format("0 to {}", target.shape.frame_count() - 1));
  }
  const int32_t key = target.image_key[static_cast<size_t>(frame)];
  if (key == 0) return Status::Ok();
  return Error::NotFound("the frame is marked as not to be used")
      .In(target.name)
      .AtFrame(frame)
      .Expected("image_key 0")
      .Found(fmt::format("{}", key));
}

}  // namespace

std::string_view BackendName(Backend backend) {
  for (const BackendText& known : kBackends) {
    if (known.backend == backend) return known.name;
  }
  return "";
}

Result<Backend> ParseBackend(std::string_view text) {
  for (const BackendText& known : kBackends) {
    if (known.name == text) return known.backend;
  }
  return Error::InvalidArgument(fmt::format("there is no back end '{}'", text))
      .Expected("automatic, mmap, direct or pread");
}

Result<Reader> Reader::Open(const std::filesystem::path& path, const ReadOptions& options) {
  const auto open = [&](Dataset dataset) -> Result<Reader> {
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<int32_t> image_key, dataset.ReadImageKey());
    if (image_key.size() != static_cast<size_t>(dataset.shape().frame_count())) {
      return Error::Corrupt("image_key does not fit the dataset")
          .In(path.string())
          .Expected(fmt::format("{} entries", dataset.shape().frame_count()))
          .Found(fmt::format("{}", image_key.size()));
    }
    PixelFlags good_pixels;
    if (options.use_pixel_mask) {
      PENSTOCK_ASSIGN_OR_RETURN(good_pixels, GoodPixels(dataset));
    }
    auto leases = options.use_leases ? LeaseClient::ForDataset(path) : nullptr;
    std::unique_ptr<ExtentVerifier> verifier;
    // Of a growing dataset the cache daemon does not know the checksums.
    if (options.verify && (leases == nullptr || dataset.state() == kGrowingState)) {
      PENSTOCK_ASSIGN_OR_RETURN(verifier, ExtentVerifier::Create(dataset));
    }
    auto mapped = options.keep_mapped ? std::make_unique<MappedBlocks>() : nullptr;
    return Reader(std::make_shared<const State>(
        State{std::move(dataset), std::move(image_key), std::move(good_pixels), options,
              std::move(leases), std::move(verifier), std::move(mapped)}));
  };
  while (true) {
    PENSTOCK_ASSIGN_OR_RETURN(const Dataset dataset, Dataset::Open(path));
    auto reader = open(dataset);
    if (reader.ok() || dataset.state() != kGrowingState) return reader;
    // Sealed since, so that its files are those of two datasets?
    const auto now = Dataset::Open(path);
    if (!now.ok() || now->generation() == dataset.generation()) return reader;
  }
}

const Dataset& Reader::dataset() const { return state_->dataset; }
const std::vector<int32_t>& Reader::image_key() const { return state_->image_key; }
bool Reader::leaves_out_pixels() const { return state_->good_pixels != nullptr; }
bool Reader::has_lease_client() const { return state_->leases != nullptr; }

Result<std::vector<std::byte>> Reader::ReadFrame(int64_t frame) const {
  PENSTOCK_RETURN_IF_ERROR(CheckFrame(PassTarget(*this), frame));
  FrameReader reader(dataset(), state_->options, state_->sources());
  const int64_t block = BlockOfFrame(shape(), dataset().grid(), frame);
  PENSTOCK_RETURN_IF_ERROR(reader.Start({0, block, {frame, frame + 1}}, /*alone=*/true));
  PENSTOCK_ASSIGN_OR_RETURN(const FrameRun run, reader.Next());
  std::vector<std::byte> pixels(run.pixels, run.pixels + shape().frame_bytes());
  // Verifies the rest of the extent, and that the pixels could be read.
  PENSTOCK_ASSIGN_OR_RETURN([[maybe_unused]] const FrameRun rest, reader.Next());
  return pixels;
}

Result<std::vector<std::byte>> ReadFrame(const FrameProvider& provider, int64_t frame) {
  PENSTOCK_RETURN_IF_ERROR(CheckFrame(PassTarget(provider), frame));
  std::vector<std::byte> pixels(provider.shape().frame_bytes());
  uint8_t valid = 1;
  PENSTOCK_RETURN_IF_ERROR(provider.MakeCursor()->Read(
      {.frames = {frame, frame + 1}, .pixel_count = provider.shape().signal.pixel_count()}, pixels,
      {&valid, 1}));
  if (valid != 0) return pixels;
  return Error::NotFound("the frame is damaged: it is not to be used")
      .In(provider.name())
      .AtFrame(frame);
}

}  // namespace penstock
