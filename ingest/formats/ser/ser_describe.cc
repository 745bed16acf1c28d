#include "ingest/formats/ser/ser_describe.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ingest/formats/ser/emi_metadata.h"
#include "ingest/formats/ser/emi_object.h"

namespace penstock::ingest::ser {

namespace {

class Describer {
 public:
  explicit Describer(const OpenedSeries& series)
      : series_(series), name_(series.path.filename().string()) {}

  Result<SourceDescription> Describe() {
    const ElementIndex& index = series_.index;
    result_.format = "ser";
    result_.suggested_name = series_.path.stem().string();
    result_.files.push_back({.path = series_.path,
                             .role = "frames",
                             .media_type = "application/x-tia-ser",
                             .identity = series_.identity});
    result_.signal = {index.first.height, index.first.width};
    result_.element_type = *ElementTypeOf(index.first.element_type);
    result_.frame_count = static_cast<int64_t>(index.offsets.size());
    result_.anomalies = index.anomalies;
    result_.orientation.file_to_stored = {-1, 0, 0, 1};  // rows lie bottom up in the file
    result_.orientation.file_to_stored_source = "format";
    AddVendorHeader();
    AddScanShape();
    PENSTOCK_RETURN_IF_ERROR(CheckPositions());
    AddEmi();
    AddScanAxes();
    AddPixelAxes();
    PENSTOCK_RETURN_IF_ERROR(AddTimes());
    return std::move(result_);
  }

 private:
  void Report(AnomalyKind kind, std::string message, std::optional<uint64_t> offset = {},
              std::optional<int64_t> frame = {}) {
    Anomaly anomaly;
    anomaly.kind = kind;
    anomaly.file = series_.path.string();
    anomaly.byte_offset = offset;
    anomaly.frame = frame;
    anomaly.message = std::move(message);
    result_.anomalies.push_back(std::move(anomaly));
  }

  void AddVendorHeader() {
    std::string text;
    for (size_t i = 0; i < series_.header.raw.size(); ++i) {
      text += fmt::format("{}{:02x}",
                          i == 0        ? ""
                          : i % 16 == 0 ? "\n"
                                        : " ",
                          std::to_integer<unsigned>(series_.header.raw[i]));
    }
    result_.vendor_headers.push_back({name_ + " series header (hexadecimal)", std::move(text)});
  }

  // Dimensions are listed fast first. A series (one dimension) has as many positions as it has
  // frames, also when it was stopped; a scan keeps its shape.
  void AddScanShape() {
    const SeriesHeader& header = series_.header;
    const auto& dimensions = header.dimensions;
    std::string sizes;
    uint64_t positions = 1;
    for (const Dimension& dimension : dimensions) {
      sizes += fmt::format("{}{} '{}'", sizes.empty() ? "" : ", ", dimension.size,
                           dimension.description);
      // Saturates: eight sizes of 32 bits overflow.
      positions = positions > UINT64_MAX / dimension.size ? UINT64_MAX : positions * dimension.size;
    }
    std::string evidence = fmt::format("{}: dimension records (fast first): {}", name_, sizes);
    if (positions != header.total_elements) {
      Report(AnomalyKind::kHeaderContradiction,
             fmt::format("the dimension records ({}) do not make the {} elements of the series",
                         sizes, header.total_elements),
             14);
    } else if (dimensions.size() == 2) {
      scan_ = {dimensions[1].size, dimensions[0].size, false};
      result_.scan_shapes.push_back({*scan_, std::move(evidence)});
    } else if (dimensions.size() == 1) {
      result_.scan_shapes.push_back({{1, result_.frame_count, true}, std::move(evidence)});
    } else {
      Report(AnomalyKind::kOther,
             fmt::format("{} dimensions ({}): taken as a series; give --scan-shape for a scan",
                         dimensions.size(), sizes));
    }
    if (header.valid_elements < header.total_elements) {
      Report(scan_ ? AnomalyKind::kMissingFrame : AnomalyKind::kOther,
             fmt::format("the acquisition was stopped: {} of {} elements are written",
                         header.valid_elements, header.total_elements),
             18, header.valid_elements);
    }
  }

  Result<std::optional<Tag>> TagOf(size_t element) {
    if (!series_.index.tags_usable || element >= series_.index.offsets.size()) {
      return std::optional<Tag>();
    }
    return ReadTag(series_.fd.get(), series_.identity.size, series_.header,
                   series_.index.TagOffset(element), series_.path);
  }

  // Distances between tag positions against the steps of the dimension records. Scans may be
  // rotated, so that only distances count. A step of the other dimension means that the order of
  // the dimensions is not what the format promises.
  Status CheckPositions() {
    const auto& dimensions = series_.header.dimensions;
    if (series_.header.tag_kind != kTagKindTimeAndPosition || !scan_) return Status::Ok();
    PENSTOCK_ASSIGN_OR_RETURN(const auto origin, TagOf(0));
    PENSTOCK_ASSIGN_OR_RETURN(const auto fast, TagOf(1));
    PENSTOCK_ASSIGN_OR_RETURN(const auto slow, TagOf(dimensions[0].size));
    if (!origin || !fast || !slow || scan_->columns < 2) return Status::Ok();
    const double fast_step = std::hypot(fast->x - origin->x, fast->y - origin->y);
    const double slow_step = std::hypot(slow->x - origin->x, slow->y - origin->y);
    const double fast_delta = std::abs(dimensions[0].calibration.delta);
    const double slow_delta = std::abs(dimensions[1].calibration.delta);
    const auto close = [](double a, double b) { return std::abs(a - b) <= 0.1 * b; };
    if (close(fast_step, fast_delta) && close(slow_step, slow_delta)) return Status::Ok();
    const bool swapped = close(fast_step, slow_delta) && !close(fast_step, fast_delta);
    Report(swapped ? AnomalyKind::kHeaderContradiction : AnomalyKind::kOther,
           fmt::format("tag positions: {:.4g} m from element 0 to 1 and {:.4g} m from 0 to {}; the "
                       "dimension records say steps of {:.4g} m and {:.4g} m{}",
                       fast_step, slow_step, dimensions[0].size, fast_delta, slow_delta,
                       swapped ? ", as if fast and slow were exchanged" : ""),
           series_.index.TagOffset(1), 1);
    return Status::Ok();
  }

  void AddEmi() {
    const auto series_name = ParseSeriesName(name_);
    if (!series_name) return;
    for (const char* extension : {".emi", ".EMI"}) {
      const std::filesystem::path path =
          series_.path.parent_path() / (series_name->stem + extension);
      std::error_code ignored;
      if (!std::filesystem::is_regular_file(path, ignored)) continue;
      if (const Status read = ReadEmi(path, series_name->number); !read.ok()) {
        Report(AnomalyKind::kOther, "the EMI is left out: " + read.error().ToString());
      }
      return;
    }
  }

  Status ReadEmi(const std::filesystem::path& path, uint32_t number) {
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<EmiObject> objects, ReadEmiObjects(path));
    result_.files.push_back({.path = path,
                             .role = "metadata",
                             .media_type = "application/x-tia-emi",
                             .identity = identity});
    const auto object = SelectEmiObject(std::move(objects), number);
    if (!object) {
      return Error::Corrupt("no block describes this series")
          .In(path.string())
          .Expected(fmt::format("an ObjectInfo block for number {}", number))
          .Found("none");
    }
    const std::string emi_name = path.filename().string();
    result_.vendor_headers.push_back(
        {fmt::format("{} {}", emi_name, object->match_note), object->xml});
    PENSTOCK_ASSIGN_OR_RETURN(EmiFacts facts, ReadEmiFacts(*object, emi_name));
    std::ranges::move(facts.facts, std::back_inserter(result_.facts));
    for (std::string& complaint : facts.complaints) {
      Report(AnomalyKind::kOther, std::move(complaint));
    }
    pixel_units_ = std::move(facts.pixel_units);
    pixel_units_evidence_ = std::move(facts.pixel_units_evidence);
    return Status::Ok();
  }

  static bool Usable(const Calibration& calibration) {
    return std::isfinite(calibration.offset) && std::isfinite(calibration.delta) &&
           calibration.delta != 0;
  }

  // Dimensions without a unit only count frames and calibrate nothing.
  void AddScanAxes() {
    const auto& dimensions = series_.header.dimensions;
    if (result_.scan_shapes.empty()) return;
    for (size_t i = 0; i < std::min<size_t>(dimensions.size(), 2); ++i) {
      const Dimension& dimension = dimensions[i];
      if (dimension.units.empty() || !Usable(dimension.calibration)) continue;
      AxisCalibration axis;
      axis.offset = dimension.calibration.At(0);
      axis.step = dimension.calibration.delta;
      axis.units = dimension.units == "meters" ? "m" : dimension.units;
      axis.long_name =
          fmt::format("scan position, {} axis ({})", i == 0 ? "fast" : "slow", axis.units);
      axis.evidence = fmt::format("{}: dimension record {} ('{}', '{}')", name_, i,
                                  dimension.description, dimension.units);
      result_.axes[i == 0 ? "axis_k" : "axis_m"] = std::move(axis);
    }
  }

  // The element heads calibrate the rows in file order; stored rows run the other way.
  void AddPixelAxes() {
    const ElementIndex& index = series_.index;
    if (!index.same_calibration) {
      Report(AnomalyKind::kOther,
             "the calibration of the pixels differs between elements and is left out");
      return;
    }
    const ElementHead& head = index.first;
    if (!Usable(head.x) || !Usable(head.y)) return;
    std::string evidence = fmt::format("{}: head of element 0", name_);
    if (pixel_units_.empty()) {
      evidence += "; the file does not say whether in m or 1/m, and no EMI tells";
    } else if ((pixel_units_ == "m") != (std::abs(head.x.delta) < 1)) {
      // No pixel is larger than 1 m or spans less than 1/m.
      Report(AnomalyKind::kOther,
             fmt::format("a pixel size of {:.6g} cannot be in {}, which is what the EMI says ({})",
                         head.x.delta, pixel_units_, pixel_units_evidence_));
      pixel_units_.clear();
      evidence += "; the unit of the EMI cannot be right";
    } else {
      evidence += "; unit: " + pixel_units_evidence_;
    }
    const auto axis = [&](double offset, double step, const char* what) {
      AxisCalibration calibration;
      calibration.offset = offset;
      calibration.step = step;
      calibration.units = pixel_units_;
      calibration.long_name = pixel_units_.empty()
                                  ? fmt::format("detector {}", what)
                                  : fmt::format("detector {} ({})", what, pixel_units_);
      calibration.evidence = evidence;
      return calibration;
    };
    result_.axes["axis_i"] = axis(head.x.At(0), head.x.delta, "columns");
    result_.axes["axis_j"] = axis(head.y.At(head.height - 1.0), -head.y.delta, "rows");
  }

  Status AddTimes() {
    PENSTOCK_ASSIGN_OR_RETURN(const auto first, TagOf(0));
    PENSTOCK_ASSIGN_OR_RETURN(const auto last, TagOf(series_.index.offsets.size() - 1));
    const auto text = [](const Tag& tag) {
      return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(std::time_t{tag.unix_time}));
    };
    if (first && first->unix_time != 0) {
      // The AcquireDate of the EMI has no time zone and is therefore no start time.
      for (const char* path : {"start_time", "measurement/event1/start_time"}) {
        result_.facts.push_back({path, text(*first), "", name_ + ": tag of element 0 (Unix time)"});
      }
    }
    if (last && last->unix_time != 0) {
      result_.facts.push_back({"measurement/event1/end_time", text(*last), "",
                               fmt::format("{}: tag of element {} (Unix time)", name_,
                                           series_.index.offsets.size() - 1)});
    }
    return Status::Ok();
  }

  const OpenedSeries& series_;
  const std::string name_;
  SourceDescription result_;
  std::optional<ScanShape> scan_;  // when the dimension records make a scan
  std::string pixel_units_;
  std::string pixel_units_evidence_;
};

}  // namespace

Result<SourceDescription> DescribeSeries(const OpenedSeries& series) {
  return Describer(series).Describe();
}

}  // namespace penstock::ingest::ser
