#include "tools/penstock/applied_operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "penstock/reader/operations.h"
#include "penstock/reader/radial.h"
#include "penstock/reader/vector_field.h"

namespace penstock::tools {

namespace {

class AppliedMasks final : public AppliedOperation {
 public:
  explicit AppliedMasks(std::unique_ptr<MaskReduction> masks) : masks_(std::move(masks)) {}

  Reduction& reduction() override { return *masks_; }
  bool is_single() const override { return true; }

  Status Write(ResultOutputs& outputs) override {
    const ResultArray& result = masks_->result();
    const size_t count = masks_->names().size();
    ResultArray array = result;
    if (count == 1) array.shape.erase(array.shape.begin());  // one mask: one image
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("masks", array));
    const size_t frames = result.size() / count;
    const std::vector<int64_t> image(result.shape.begin() + 1, result.shape.end());
    for (size_t k = 0; k < count; ++k) {
      PENSTOCK_RETURN_IF_ERROR(outputs.Picture(fmt::format("mask{}", k), image,
                                               result.AsDoubles(k * frames, frames),
                                               {masks_->names()[k]}));
    }
    return Status::Ok();
  }

  std::optional<LiveImage> Live() const override {
    const ResultArray& result = masks_->result();
    const size_t frames = result.size() / masks_->names().size();
    return LiveImage{ShapeOfImage(result.shape), result.AsDoubles(0, frames), true};
  }

 private:
  std::unique_ptr<MaskReduction> masks_;
};

// How centres of mass become a field over the scan.
struct FieldOptions {
  bool estimate = false;
  std::optional<FieldCorrection> correction;
  bool integrate = false;

  bool wanted() const { return estimate || correction || integrate; }
};

class AppliedCentre final : public AppliedOperation {
 public:
  AppliedCentre(std::unique_ptr<CentreOfMassReduction> centre, const FieldOptions& field)
      : centre_(std::move(centre)), field_(field) {}

  Reduction& reduction() override { return *centre_; }

  Status Write(ResultOutputs& outputs) override {
    const ResultArray rows = centre_->Rows();
    const ResultArray columns = centre_->Columns();
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("com_rows", rows));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("com_columns", columns));
    PENSTOCK_RETURN_IF_ERROR(
        outputs.Vectors("com", rows, columns, "centre of mass about its mean"));
    PENSTOCK_RETURN_IF_ERROR(
        outputs.Picture("com_rows", rows.shape, rows.doubles(), {"centre of mass, row"}));
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture("com_columns", columns.shape, columns.doubles(),
                                             {"centre of mass, column"}));
    return field_.wanted() ? WriteField(rows, columns, outputs) : Status::Ok();
  }

  std::vector<std::pair<std::string, std::string>> Facts() const override { return facts_; }

  std::optional<LiveImage> Live() const override {
    const ResultArray intensity = centre_->Intensity();
    return LiveImage{ShapeOfImage(intensity.shape), intensity.AsDoubles(), true};
  }

 private:
  // The field in the axes of the scan, and what follows from it.
  Status WriteField(const ResultArray& rows, const ResultArray& columns, ResultOutputs& outputs) {
    PENSTOCK_ASSIGN_OR_RETURN(VectorField field, FieldOfCentres(rows, columns));
    FieldCorrection correction = field_.correction.value_or(FieldCorrection());
    if (field_.estimate) {
      PENSTOCK_ASSIGN_OR_RETURN(const EstimatedCorrection estimated, EstimateCorrection(field));
      correction = estimated.correction;
      facts_.emplace_back("remaining curl", fmt::format("{:.3g}", estimated.remaining_curl));
    }
    facts_.emplace_back("rotation", fmt::format("{:.2f} degrees{}", correction.rotation_degrees,
                                                correction.flip ? ", flipped" : ""));
    field = Correct(std::move(field), correction);
    const ResultArray along_rows{rows.shape, field.along_rows};
    const ResultArray along_columns{rows.shape, field.along_columns};
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("field_rows", along_rows));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("field_columns", along_columns));
    PENSTOCK_RETURN_IF_ERROR(
        outputs.Vectors("field", along_rows, along_columns, "deflection over the scan"));
    PENSTOCK_RETURN_IF_ERROR(
        WriteScan(outputs, "field_divergence", Divergence(field), "divergence of the deflection"));
    PENSTOCK_RETURN_IF_ERROR(
        WriteScan(outputs, "field_curl", Curl(field), "curl of the deflection"));
    if (!field_.integrate) return Status::Ok();
    return WriteScan(outputs, "integrated", Integrate(field), "integrated centre of mass");
  }

  static Status WriteScan(ResultOutputs& outputs, const std::string& name, const ResultArray& array,
                          const std::string& title) {
    PENSTOCK_RETURN_IF_ERROR(outputs.Array(name, array));
    return outputs.Picture(name, array.shape, array.doubles(), {title});
  }

  std::unique_ptr<CentreOfMassReduction> centre_;
  FieldOptions field_;
  std::vector<std::pair<std::string, std::string>> facts_;
};

// An image over the detector, in logarithmic grey.
Status WriteFrame(ResultOutputs& outputs, const std::string& name, const ResultArray& array,
                  const std::string& title) {
  PENSTOCK_RETURN_IF_ERROR(outputs.Array(name, array));
  return outputs.Picture(name, array.shape, array.AsDoubles(), {title, DisplayScale::kLogarithmic});
}

class AppliedSum final : public AppliedOperation {
 public:
  Reduction& reduction() override { return sum_; }
  bool is_single() const override { return true; }
  Status Write(ResultOutputs& outputs) override {
    return WriteFrame(outputs, "sum", sum_.result(), "sum over all frames");
  }
  std::optional<LiveImage> Live() const override {
    return LiveImage{ShapeOfImage(sum_.result().shape), sum_.result().AsDoubles()};
  }

 private:
  SumReduction sum_;
};

class AppliedStatistics final : public AppliedOperation {
 public:
  // `with_sum`: of data of which it falls off.
  explicit AppliedStatistics(bool with_sum) : with_sum_(with_sum) {}

  Reduction& reduction() override { return statistics_; }
  Status Write(ResultOutputs& outputs) override {
    if (with_sum_) {
      PENSTOCK_RETURN_IF_ERROR(
          WriteFrame(outputs, "sum", *statistics_.ExactSum(), "sum over all frames"));
    }
    PENSTOCK_RETURN_IF_ERROR(
        WriteFrame(outputs, "mean", statistics_.Mean(), "mean over all frames"));
    return WriteFrame(outputs, "std", statistics_.StandardDeviation(),
                      "standard deviation over all frames");
  }
  std::optional<LiveImage> Live() const override {
    const ResultArray mean = statistics_.Mean();
    return LiveImage{ShapeOfImage(mean.shape), mean.AsDoubles()};
  }

 private:
  const bool with_sum_;
  StatisticsReduction statistics_;
};

class AppliedExtremes final : public AppliedOperation {
 public:
  Reduction& reduction() override { return extremes_; }
  Status Write(ResultOutputs& outputs) override {
    PENSTOCK_RETURN_IF_ERROR(
        WriteFrame(outputs, "minimum", extremes_.Minimum(), "minimum over all frames"));
    return WriteFrame(outputs, "maximum", extremes_.Maximum(), "maximum over all frames");
  }
  std::optional<LiveImage> Live() const override {
    const ResultArray maximum = extremes_.Maximum();
    return LiveImage{ShapeOfImage(maximum.shape), maximum.AsDoubles()};
  }

 private:
  ExtremesReduction extremes_;
};

class AppliedHistogram final : public AppliedOperation {
 public:
  explicit AppliedHistogram(std::unique_ptr<HistogramReduction> histogram)
      : histogram_(std::move(histogram)) {}

  Reduction& reduction() override { return *histogram_; }
  Status Write(ResultOutputs& outputs) override {
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("histogram", histogram_->BinCounts()));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("histogram_edges", histogram_->Edges()));
    return outputs.Array("histogram_outside",
                         {{3},
                          std::vector<int64_t>{histogram_->below(), histogram_->above(),
                                               histogram_->not_numbers()}});
  }

 private:
  std::unique_ptr<HistogramReduction> histogram_;
};

class AppliedRadial final : public AppliedOperation {
 public:
  AppliedRadial(std::unique_ptr<RadialReduction> radial, const PolarGrid& grid)
      : radial_(std::move(radial)),
        bins_(static_cast<size_t>(grid.rings * grid.sectors)),
        bin_axes_(grid.sectors > 1 ? 2 : 1) {}

  Reduction& reduction() override { return *radial_; }

  Status Write(ResultOutputs& outputs) override {
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("radial_sums", radial_->sums()));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("radial_pixels", radial_->PixelCounts()));
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("radial_radii", radial_->Radii()));
    // Averaged over the frames: what can be shown of a stack of profiles.
    const ResultArray profile = Profile();
    PENSTOCK_RETURN_IF_ERROR(outputs.Array("radial_profile", profile));
    return outputs.Picture("radial_profile", profile.shape, profile.doubles(),
                           {"mean of each ring over all frames", DisplayScale::kLogarithmic});
  }

  std::optional<LiveImage> Live() const override {
    const ResultArray& sums = radial_->sums();
    const size_t frames = sums.size() / bins_;
    std::vector<double> totals(frames);
    for (size_t f = 0; f < frames; ++f) {
      for (const double value : sums.AsDoubles(f * bins_, bins_)) totals[f] += value;
    }
    const std::vector<int64_t> scan(sums.shape.begin(), sums.shape.end() - bin_axes_);
    return LiveImage{ShapeOfImage(scan), std::move(totals), true};
  }

 private:
  ResultArray Profile() const {
    const ResultArray means = radial_->Means();
    std::vector<double> profile(bins_);
    std::vector<int64_t> frames(bins_);
    for (size_t i = 0; i < means.size(); ++i) {
      const double value = means.doubles()[i];
      if (std::isnan(value)) continue;
      profile[i % bins_] += value;
      ++frames[i % bins_];
    }
    for (size_t b = 0; b < bins_; ++b) profile[b] /= static_cast<double>(frames[b]);
    return {radial_->PixelCounts().shape, std::move(profile)};
  }

  std::unique_ptr<RadialReduction> radial_;
  size_t bins_;
  ptrdiff_t bin_axes_;  // of the result, behind those of the scan
};

Result<std::vector<double>> ParseNumbers(std::string_view option, std::string_view text,
                                         const std::string& expected) {
  std::vector<double> values;
  for (std::string_view rest = text;;) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    double value = 0;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size()) {
      return Error::InvalidArgument(fmt::format("{} {}: '{}' is not a number", option, text, word))
          .Expected(expected);
    }
    values.push_back(value);
    if (comma == std::string_view::npos) return values;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::optional<Mask>> ParseSelection(const std::string& option, const std::string& text,
                                           SignalShape signal) {
  if (text.empty()) return std::optional<Mask>();
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<Mask> masks, ParseMasks(text, signal));
  if (masks.size() != 1) {
    return Error::InvalidArgument(fmt::format("{} takes one selection of pixels", option))
        .Found(fmt::format("{} masks in {}", masks.size(), text));
  }
  if (masks.front().is_complex()) {
    return Error::InvalidArgument(fmt::format("{} takes real weights", option))
        .Found(fmt::format("complex ones in {}", text));
  }
  return std::optional<Mask>(std::move(masks.front()));
}

Result<FieldOptions> ParseField(const OperationOptions& options) {
  FieldOptions field;
  field.integrate = options.integrate;
  if (options.correction.empty()) return field;
  if (options.correction == "auto") {
    field.estimate = true;
    return field;
  }
  std::string_view text = options.correction;
  FieldCorrection correction;
  if (text.ends_with(",flip")) {
    correction.flip = true;
    text.remove_suffix(5);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto degrees,
                            ParseNumbers("--correct", text, "auto, DEGREES or DEGREES,flip"));
  if (degrees.size() != 1 || !std::isfinite(degrees[0])) {
    return Error::InvalidArgument(fmt::format("--correct {}", options.correction))
        .Expected("auto, DEGREES or DEGREES,flip");
  }
  correction.rotation_degrees = degrees[0];
  field.correction = correction;
  return field;
}

Result<std::unique_ptr<AppliedOperation>> MakeHistogram(const OperationOptions& options,
                                                        SignalShape signal) {
  const std::string expected = "BINS,LOW,HIGH";
  PENSTOCK_ASSIGN_OR_RETURN(const auto numbers,
                            ParseNumbers("--histogram", options.histogram, expected));
  if (numbers.size() != 3 || numbers[0] != std::floor(numbers[0]) || std::abs(numbers[0]) > 1e15) {
    return Error::InvalidArgument(fmt::format("--histogram {}", options.histogram))
        .Expected(expected);
  }
  PENSTOCK_ASSIGN_OR_RETURN(auto region,
                            ParseSelection("--histogram-region", options.histogram_region, signal));
  PENSTOCK_ASSIGN_OR_RETURN(
      auto histogram,
      HistogramReduction::Create({static_cast<int64_t>(numbers[0]), numbers[1], numbers[2]},
                                 std::move(region)));
  return std::unique_ptr<AppliedOperation>(new AppliedHistogram(std::move(histogram)));
}

Result<std::unique_ptr<AppliedOperation>> MakeRadial(const OperationOptions& options,
                                                     SignalShape signal) {
  const std::string expected = "ROW,COLUMN or ROW,COLUMN,INNER,OUTER in pixels";
  PENSTOCK_ASSIGN_OR_RETURN(const auto numbers, ParseNumbers("--radial", options.radial, expected));
  if (numbers.size() != 2 && numbers.size() != 4) {
    return Error::InvalidArgument(fmt::format("--radial {}", options.radial)).Expected(expected);
  }
  PolarGrid grid{.centre_row = numbers[0], .centre_column = numbers[1]};
  if (numbers.size() == 4) {
    grid.inner = numbers[2];
    grid.outer = numbers[3];
  }
  grid.rings = options.rings;
  grid.sectors = options.sectors;
  PENSTOCK_ASSIGN_OR_RETURN(auto selection,
                            ParseSelection("--radial-mask", options.radial_mask, signal));
  PENSTOCK_ASSIGN_OR_RETURN(auto radial, RadialReduction::Create(grid, std::move(selection)));
  return std::unique_ptr<AppliedOperation>(new AppliedRadial(std::move(radial), grid));
}

}  // namespace

Result<std::vector<std::unique_ptr<AppliedOperation>>> MakeOperations(
    const OperationOptions& options, SignalShape signal, std::optional<ElementType> stored_type) {
  std::vector<std::unique_ptr<AppliedOperation>> operations;
  std::vector<AnyMask> masks;
  for (const std::string& text : options.masks) {
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<AnyMask> some, ParseAnyMasks(text, signal));
    std::move(some.begin(), some.end(), std::back_inserter(masks));
  }
  if (!masks.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(auto reduction, MaskReduction::CreateMixed(std::move(masks)));
    operations.push_back(std::make_unique<AppliedMasks>(std::move(reduction)));
  }
  if (options.centre_of_mass) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto selection,
                              ParseSelection("the centre of mass", options.selection, signal));
    PENSTOCK_ASSIGN_OR_RETURN(
        auto centre, CentreOfMassReduction::Create(selection ? *selection : FullMask(signal)));
    PENSTOCK_ASSIGN_OR_RETURN(const FieldOptions field, ParseField(options));
    operations.push_back(std::make_unique<AppliedCentre>(std::move(centre), field));
  }
  if (!options.radial.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(auto radial, MakeRadial(options, signal));
    operations.push_back(std::move(radial));
  }
  const bool sum_falls_off =
      options.statistics && stored_type && StatisticsReduction::HasExactSum(*stored_type);
  if (options.sum && !sum_falls_off) operations.push_back(std::make_unique<AppliedSum>());
  if (options.statistics) {
    operations.push_back(std::make_unique<AppliedStatistics>(options.sum && sum_falls_off));
  }
  if (options.extremes) operations.push_back(std::make_unique<AppliedExtremes>());
  if (!options.histogram.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(auto histogram, MakeHistogram(options, signal));
    operations.push_back(std::move(histogram));
  }
  if (operations.empty()) {
    return Error::InvalidArgument("nothing to do")
        .Advice(
            "give at least one of --mask, --com, --radial, --sum, --std, --extremes, "
            "--histogram");
  }
  return operations;
}

}  // namespace penstock::tools
