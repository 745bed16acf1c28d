#include "penstock/ingest/orientation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "penstock/base/npy.h"
#include "penstock/dataset/checksum.h"

namespace penstock::ingest {

namespace {

using Matrix = OrientationRecord::Matrix;

constexpr int64_t kMostFrames = 16;
// Below this no orientation shows the pattern.
constexpr double kLeastCorrelation = 0.2;
// Two orientations of a reference that correlate better than this are the same.
constexpr double kSame = 0.999;
// The best orientation must be ahead of another by this share of what the reference alone would
// give, or noise may have decided.
constexpr double kLeastShare = 0.25;

constexpr std::array<NamedOrientation, 8> kOrientations = {{
    {"identity", {1, 0, 0, 1}},
    {"flip-rows", {-1, 0, 0, 1}},
    {"flip-columns", {1, 0, 0, -1}},
    {"rotate-180", {-1, 0, 0, -1}},
    {"transpose", {0, 1, 1, 0}},
    {"rotate-90", {0, -1, 1, 0}},
    {"rotate-270", {0, 1, -1, 0}},
    {"anti-transpose", {0, -1, -1, 0}},
}};

// Pixels that are not finite do not count.
struct Image {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<float> pixels;
};

bool SwapsAxes(const Matrix& matrix) { return matrix[0] == 0; }

Matrix Product(const Matrix& a, const Matrix& b) {
  return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2],
          a[2] * b[1] + a[3] * b[3]};
}

Matrix Transposed(const Matrix& m) { return {m[0], m[2], m[1], m[3]}; }

// Whether an image has the shape of `target` when it is displayed with `matrix`.
bool Fits(const Image& image, const Matrix& matrix, const Image& target) {
  const bool swaps = SwapsAxes(matrix);
  return (swaps ? image.columns : image.rows) == target.rows &&
         (swaps ? image.rows : image.columns) == target.columns;
}

// Calls visit(pixel of `image`, pixel of `target` where it is displayed) for all that count.
// Precondition: Fits.
template <typename Visit>
void ForEachPair(const Image& image, const Matrix& matrix, const Image& target, Visit&& visit) {
  const auto coefficient = [&matrix](size_t i) { return static_cast<int64_t>(matrix[i]); };
  const auto start = [&](size_t i) {  // where the index that is displayed begins
    return (coefficient(i) < 0 ? image.rows - 1 : 0) +
           (coefficient(i + 1) < 0 ? image.columns - 1 : 0);
  };
  const int64_t first_row = start(0);
  const int64_t first_column = start(2);
  for (int64_t r = 0; r < image.rows; ++r) {
    for (int64_t c = 0; c < image.columns; ++c) {
      const int64_t row = first_row + coefficient(0) * r + coefficient(1) * c;
      const int64_t column = first_column + coefficient(2) * r + coefficient(3) * c;
      const double a = image.pixels[static_cast<size_t>(r * image.columns + c)];
      const double b = target.pixels[static_cast<size_t>(row * target.columns + column)];
      if (std::isfinite(a) && std::isfinite(b)) visit(a, b);
    }
  }
}

// Pearson's; 0 where one of them is constant.
double Correlation(const Image& image, const Matrix& matrix, const Image& target) {
  double count = 0;
  double mean_a = 0;
  double mean_b = 0;
  ForEachPair(image, matrix, target, [&](double a, double b) {
    ++count;
    mean_a += a;
    mean_b += b;
  });
  if (count == 0) return 0;
  mean_a /= count;
  mean_b /= count;
  double aa = 0;
  double bb = 0;
  double ab = 0;
  ForEachPair(image, matrix, target, [&](double a, double b) {
    aa += (a - mean_a) * (a - mean_a);
    bb += (b - mean_b) * (b - mean_b);
    ab += (a - mean_a) * (b - mean_b);
  });
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

Status AddPixels(ElementType type, std::span<const std::byte> bytes, std::span<float> sums,
                 const std::string& file) {
  return VisitElementType(type, [&](auto element) -> Status {
    using T = decltype(element);
    if constexpr (std::is_arithmetic_v<T>) {
      const auto* values = reinterpret_cast<const T*>(bytes.data());
      for (float& sum : sums) sum += static_cast<float>(*values++);
      return Status::Ok();
    } else {
      return Error::Unsupported("complex numbers have no picture to compare")
          .In(file)
          .Expected("real pixels")
          .Found(std::string(ZarrDataType(type)));
    }
  });
}

Result<Image> ReadReference(const std::filesystem::path& path, const SignalShape& signal) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyHeader header, ReadNpyHeader(path));
  const std::vector<int64_t> as_stored{signal.rows, signal.columns};
  const std::vector<int64_t> turned{signal.columns, signal.rows};
  if (header.shape != as_stored && header.shape != turned) {
    std::string found;
    for (const int64_t extent : header.shape) {
      found += fmt::format("{}{}", found.empty() ? "" : ",", extent);
    }
    return Error::InvalidArgument("the reference has not the shape of a frame")
        .In(path.string())
        .Expected(signal.rows == signal.columns
                      ? fmt::format("an array of shape {},{}", signal.rows, signal.columns)
                      : fmt::format("an array of shape {},{} or {},{}", signal.rows, signal.columns,
                                    signal.columns, signal.rows))
        .Found("shape " + found);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(path, header.data_bytes));
  Image image{array.shape[0], array.shape[1], {}};
  image.pixels.assign(static_cast<size_t>(signal.pixel_count()), 0.0F);
  PENSTOCK_RETURN_IF_ERROR(AddPixels(array.element_type, array.bytes, image.pixels, path.string()));
  return image;
}

Error CannotDecide(const std::filesystem::path& path, std::string why) {
  return Error::InvalidArgument("the reference cannot tell how frames are oriented")
      .In(path.string())
      .Expected("a pattern that differs from each of its turned and mirrored copies")
      .Found(std::move(why))
      .Advice("take a frame of something without symmetry: a letter F, a beam stop to one side");
}

// Refuses what would fit in two ways however good the frames are.
Status RefuseSymmetry(const std::filesystem::path& path, const Image& reference) {
  if (Correlation(reference, kOrientations.front().matrix, reference) == 0) {
    return CannotDecide(path, "all pixels are equal");
  }
  for (const NamedOrientation& other : std::span(kOrientations).subspan(1)) {
    if (!Fits(reference, other.matrix, reference)) continue;
    const double same = Correlation(reference, other.matrix, reference);
    if (same < kSame) continue;
    return CannotDecide(
        path, fmt::format("it is the same under {} (correlation {:.4f})", other.name, same));
  }
  return Status::Ok();
}

struct MeanFrame {
  Image image;
  int64_t frames = 0;
};

Result<MeanFrame> AverageFrames(const IngestPlan& plan, const std::stop_token& stop) {
  const SourceDescription& source = plan.source->description();
  const std::string file = plan.source_path.string();
  const uint64_t frame_bytes = plan.shape.frame_bytes();
  MeanFrame mean{{source.signal.rows, source.signal.columns, {}}, 0};
  mean.image.pixels.assign(static_cast<size_t>(source.signal.pixel_count()), 0.0F);
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer buffer, AlignedBuffer::Allocate(frame_bytes));
  const std::span<std::byte> pixels = buffer.span().first(frame_bytes);
  DecodeContext context;
  const int64_t count = std::min(kMostFrames, source.frame_count);
  for (int64_t i = 0; i < count; ++i) {
    if (stop.stop_requested()) return Error::Cancelled("stopped");
    const int64_t frame = i * source.frame_count / count;
    BlockReport report;
    context.report = &report;
    PENSTOCK_RETURN_IF_ERROR(plan.source->Decode(frame, frame + 1, pixels, context));
    if (report.IsInvalid(frame)) continue;
    PENSTOCK_RETURN_IF_ERROR(AddPixels(source.element_type, pixels, mean.image.pixels, file));
    ++mean.frames;
  }
  if (mean.frames == 0) {
    return Error::Corrupt("no frame can be held against the reference")
        .In(file)
        .Found(fmt::format("{} frames looked at, none of them valid", count));
  }
  for (float& pixel : mean.image.pixels) pixel /= static_cast<float>(mean.frames);
  const std::vector<uint32_t>& mask = source.pixel_mask.values;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) mean.image.pixels[i] = std::nanf("");
  }
  return mean;
}

struct Match {
  const NamedOrientation* orientation;
  double correlation;
};

// Best first; those under which the frame has the shape of the reference.
std::vector<Match> Compare(const Image& frame, const Image& reference) {
  std::vector<Match> matches;
  for (const NamedOrientation& orientation : kOrientations) {
    if (!Fits(frame, orientation.matrix, reference)) continue;
    matches.push_back({&orientation, Correlation(frame, orientation.matrix, reference)});
  }
  std::ranges::stable_sort(matches, std::ranges::greater{}, &Match::correlation);
  return matches;
}

Status RefuseDoubt(const std::filesystem::path& path, const std::string& file,
                   const Image& reference, const std::vector<Match>& matches) {
  const Match& best = matches.front();
  if (best.correlation < kLeastCorrelation) {
    return Error::Contradiction("the frames do not show the reference in any orientation")
        .In(file)
        .Expected(fmt::format("a correlation of at least {} with {}", kLeastCorrelation,
                              path.filename().string()))
        .Found(fmt::format("{:.3f} at best, with {}", best.correlation, best.orientation->name))
        .Advice("is it the pattern of this acquisition? Hot pixels may also hide it");
  }
  for (const Match& other : std::span(matches).subspan(1)) {
    const Matrix between = Product(other.orientation->matrix, Transposed(best.orientation->matrix));
    const double expected = best.correlation * (1 - Correlation(reference, between, reference));
    if (best.correlation - other.correlation >= kLeastShare * expected) continue;
    return CannotDecide(path, fmt::format("frames that fit it as well with {} (correlation {:.4f}) "
                                          "as with {} ({:.4f})",
                                          best.orientation->name, best.correlation,
                                          other.orientation->name, other.correlation));
  }
  return Status::Ok();
}

}  // namespace

std::span<const NamedOrientation> NamedOrientations() { return kOrientations; }

std::string_view OrientationName(const Matrix& matrix) {
  const auto found = std::ranges::find(kOrientations, matrix, &NamedOrientation::matrix);
  return found == kOrientations.end() ? std::string_view() : found->name;
}

Matrix OrientationInForce(const IngestPlan& plan) {
  if (plan.options.stored_to_display) return *plan.options.stored_to_display;
  return plan.source->description().orientation.stored_to_display.value_or(Matrix{1, 0, 0, 1});
}

Status VerifyOrientation(const std::filesystem::path& reference_path, const std::stop_token& stop,
                         IngestPlan& plan) {
  PENSTOCK_ASSIGN_OR_RETURN(const Image reference,
                            ReadReference(reference_path, plan.shape.signal));
  PENSTOCK_RETURN_IF_ERROR(RefuseSymmetry(reference_path, reference));
  PENSTOCK_ASSIGN_OR_RETURN(const MeanFrame mean, AverageFrames(plan, stop));
  const std::vector<Match> matches = Compare(mean.image, reference);
  const std::string file = plan.source_path.string();
  PENSTOCK_RETURN_IF_ERROR(RefuseDoubt(reference_path, file, reference, matches));

  const Match& best = matches.front();
  const Matrix in_force = OrientationInForce(plan);
  const std::string_view name = OrientationName(in_force);
  if (best.orientation->matrix != in_force) {
    const char* const whose = plan.options.stored_to_display ? "--orientation"
                              : plan.source->description().orientation.stored_to_display
                                  ? "the format's own"
                                  : "none is known";
    const auto given = std::ranges::find(
        matches, in_force, [](const Match& match) { return match.orientation->matrix; });
    return Error::Contradiction("the frames are not oriented as the reference")
        .In(file)
        .Expected(fmt::format("{} as displayed with {} ({})", reference_path.filename().string(),
                              name.empty() ? "a transform of its own" : name, whose))
        .Found(fmt::format(
            "{} fits, with a correlation of {:.3f}{}", best.orientation->name, best.correlation,
            given == matches.end() ? "" : fmt::format(" instead of {:.3f}", given->correlation)))
        .Advice(fmt::format("--orientation {} makes it right", best.orientation->name));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::string digest, HashFile(reference_path));
  VerifiedOrientation verified{.reference = reference_path.filename().string(),
                               .checksum = digest,
                               .orientation = std::string(name),
                               .correlation = best.correlation,
                               .next_orientation = std::string(matches[1].orientation->name),
                               .next_correlation = matches[1].correlation,
                               .frames = mean.frames};
  plan.remarks.push_back(fmt::format(
      "the orientation was verified: {} fits {} with a correlation of {:.3f}, {} next with {:.3f} "
      "(mean of {} frames)",
      verified.orientation, verified.reference, verified.correlation, verified.next_orientation,
      verified.next_correlation, verified.frames));
  plan.options.verified_orientation = std::move(verified);
  return Status::Ok();
}

}  // namespace penstock::ingest
