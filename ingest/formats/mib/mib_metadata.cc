#include "ingest/formats/mib/mib_metadata.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace penstock::ingest {

namespace {

constexpr std::string_view kDetector = "measurement/instrument/detector1/";
constexpr std::string_view kEventDetector = "measurement/event1/instrument/detector1/";

// The number at the start of "120 V", "120MHz", "Board Temp 46.76 Deg C" (with `before` skipped),
// if the text after it is `after`.
std::optional<double> NumberIn(std::string_view text, std::string_view before,
                               std::string_view after) {
  if (!text.starts_with(before)) return std::nullopt;
  text.remove_prefix(before.size());
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  if (!rest.empty() && rest != after) return std::nullopt;
  return value;
}

std::vector<double> NumberList(std::string_view text) {
  std::vector<double> numbers;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const auto number = NumberIn(text.substr(0, comma), "", "");
    if (!number) return {};
    numbers.push_back(*number);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return numbers;
}

class FactWriter {
 public:
  explicit FactWriter(const MibSeries& series)
      : series_(series),
        frame_evidence_(series.first().path.filename().string() + ": header of frame 0") {}

  void Add(std::string path, Json value, std::string units, std::string evidence) {
    facts_.push_back({std::move(path), std::move(value), std::move(units), std::move(evidence)});
  }
  std::string Frame(std::string_view field) const {
    return fmt::format("{}, {}", frame_evidence_, field);
  }
  std::string Sidecar(std::string_view key) const {
    return fmt::format("{}: {}", series_.sidecar->path.filename().string(), key);
  }
  std::optional<std::string> Value(std::string_view key) const {
    return series_.sidecar ? series_.sidecar->Get(key) : std::nullopt;
  }
  // A text of the .hdr file as it is.
  void AddText(std::string_view key, std::string path) {
    if (const auto value = Value(key)) Add(std::move(path), *value, "", Sidecar(key));
  }
  void AddNumber(std::string_view key, std::string path, std::string_view before,
                 std::string_view after, std::string units) {
    const auto text = Value(key);
    if (!text) return;
    const auto number = NumberIn(*text, before, after);
    if (number) Add(std::move(path), *number, std::move(units), Sidecar(key) + " = " + *text);
  }
  std::vector<MetadataFact> Take() { return std::move(facts_); }

 private:
  const MibSeries& series_;
  const std::string frame_evidence_;
  std::vector<MetadataFact> facts_;
};

void AddTimes(const MibSeries& series, const MibFrameHeader& last, FactWriter& facts) {
  const MibFrameHeader& first = series.first().first_header;
  // Without the UTC time there is no zone, and a time without a zone is not a start_time.
  if (first.utc_unix_ns) {
    for (const char* path : {"start_time", "measurement/event1/start_time"}) {
      facts.Add(path, first.utc_time, "", facts.Frame("UTC time after MQ1A"));
    }
  }
  if (last.utc_unix_ns) {
    facts.Add("measurement/event1/end_time", last.utc_time, "",
              fmt::format("{}: header of frame {}, UTC time after MQ1A (start of the last frame)",
                          series.files.back().path.filename().string(), series.frame_count() - 1));
  }
}

void AddExposure(const MibFrameHeader& first, FactWriter& facts) {
  if (!first.exposure_ns) return;
  facts.Add(std::string(kEventDetector) + "count_time",
            static_cast<double>(*first.exposure_ns) / 1e9, "s",
            first.exposure_is_exact
                ? facts.Frame(fmt::format("shutter time {} ns after MQ1A", *first.exposure_ns))
                : facts.Frame("field 11 (shutter time, rounded to 1 us)"));
}

void AddThresholds(const MibFrameHeader& first, FactWriter& facts) {
  const std::string path = std::string(kEventDetector) + "threshold_energy";
  if (!first.thresholds_kev.empty()) {
    facts.Add(path, first.thresholds_kev, "keV",
              facts.Frame("fields 15 to 22 (thresholds 0 to 7)"));
  } else if (const auto text = facts.Value(mib_key::kThresholds)) {
    const std::vector<double> thresholds = NumberList(*text);
    if (!thresholds.empty()) {
      facts.Add(path, thresholds, "keV", facts.Sidecar(mib_key::kThresholds));
    }
  }
}

void AddGain(const MibFrameHeader& first, FactWriter& facts) {
  constexpr std::array<const char*, 4> kGains = {"SLGM", "LGM", "HGM", "SHGM"};
  const std::string path = std::string(kEventDetector) + "gain_setting";
  if (first.gain_mode && *first.gain_mode >= 0 && *first.gain_mode < 4) {
    facts.Add(path, kGains[static_cast<size_t>(*first.gain_mode)], "",
              facts.Frame(fmt::format("field 14 (gain mode) = {}", *first.gain_mode)));
  } else {
    facts.AddText(mib_key::kGain, path);
  }
}

void AddDetector(const MibSeries& series, FactWriter& facts) {
  const MibFrameLayout& layout = series.first().geometry.layout;
  const std::string detector(kDetector);
  if (const auto readout = facts.Value(mib_key::kReadout)) {
    facts.Add(detector + "name", *readout, "", facts.Sidecar(mib_key::kReadout));
    facts.Add(detector + "fabrication/model", *readout, "", facts.Sidecar(mib_key::kReadout));
  } else {
    facts.Add(detector + "name", "Merlin", "", facts.Frame("id MQ1, which Merlin writes"));
  }
  facts.Add(detector + "fabrication/vendor", "Quantum Detectors", "",
            facts.Frame("id MQ1, which Merlin of Quantum Detectors writes"));
  facts.AddText(mib_key::kChipId, detector + "serial_number");
  facts.AddText(mib_key::kChipType, detector + "description");
  if (layout.counter_depth) {
    facts.Add(detector + "bit_depth_readout", *layout.counter_depth, "",
              facts.Frame("counter depth after MQ1A"));
  } else if (const auto depth =
                 series.sidecar ? series.sidecar->GetCount(mib_key::kCounterDepth) : std::nullopt) {
    facts.Add(detector + "bit_depth_readout", *depth, "", facts.Sidecar(mib_key::kCounterDepth));
  }
}

void AddFlatField(const MibSeries& series, FactWriter& facts) {
  const auto file = facts.Value(mib_key::kFlatField);
  if (!file) return;
  const bool none = *file == "None";
  // Raw frames are as the chips give them, whatever the file that was loaded.
  if (!none && series.first().geometry.raw_depth != 0) return;
  facts.Add(std::string(kEventDetector) + "flatfield_applied", !none, "",
            facts.Sidecar(mib_key::kFlatField) + " = " + *file);
}

std::string WithoutGap(std::string assembly) {
  if (assembly.ends_with('G')) assembly.pop_back();
  return assembly;
}

}  // namespace

std::vector<MetadataFact> MibFacts(const MibSeries& series, const MibFrameHeader& last) {
  const MibFrameHeader& first = series.first().first_header;
  const std::string detector(kEventDetector);
  FactWriter facts(series);
  AddTimes(series, last, facts);
  AddDetector(series, facts);
  AddExposure(first, facts);
  AddThresholds(first, facts);
  AddGain(first, facts);
  facts.AddText(mib_key::kChipMode, detector + "operation_mode");
  facts.AddNumber(mib_key::kBias, detector + "sensor_bias", "", "V", "V");
  facts.AddNumber(mib_key::kClock, detector + "readout_clock", "", "MHz", "MHz");
  // Exactly 0.000000 is what the software writes when the board has no sensor.
  if (facts.Value(mib_key::kTemperature) != "Board Temp 0.000000 Deg C") {
    facts.AddNumber(mib_key::kTemperature, detector + "board_temperature", "Board Temp ", "Deg C",
                    "degC");
  }
  AddFlatField(series, facts);
  if (const auto software = facts.Value(mib_key::kSoftware)) {
    facts.Add("measurement/instrument/program1/program", "Merlin " + *software, "",
              facts.Sidecar(mib_key::kSoftware));
  }
  return facts.Take();
}

std::vector<VendorHeader> MibVendorHeaders(const MibSeries& series) {
  std::vector<VendorHeader> headers;
  headers.push_back(
      {series.first().path.filename().string() + " frame 0", series.first().first_header.text});
  if (series.sidecar) {
    headers.push_back({series.sidecar->path.filename().string(), series.sidecar->text});
  }
  return headers;
}

std::vector<Anomaly> CheckMibSidecar(const MibSeries& series) {
  std::vector<Anomaly> anomalies;
  if (!series.sidecar) return anomalies;
  const MibSidecar& sidecar = *series.sidecar;
  const MibFrameLayout& layout = series.first().geometry.layout;
  const auto report = [&](AnomalyKind kind, std::string message) {
    Anomaly anomaly;
    anomaly.kind = kind;
    anomaly.file = sidecar.path.string();
    anomaly.message = std::move(message);
    anomalies.push_back(std::move(anomaly));
  };
  for (const std::string& complaint : sidecar.complaints) report(AnomalyKind::kOther, complaint);
  for (const std::string_view key : {mib_key::kFrames, mib_key::kFramesPerTrigger}) {
    const auto text = sidecar.Get(key);
    if (!text) {
      report(AnomalyKind::kOther, fmt::format("there is no value for '{}'", key));
    } else if (!sidecar.GetCount(key)) {
      report(AnomalyKind::kOther,
             fmt::format("'{}' is '{}', which is not a number: ignored", key, *text));
    }
  }
  const auto depth = sidecar.Get(mib_key::kCounterDepth);
  if (!depth) {
    report(AnomalyKind::kOther, fmt::format("there is no value for '{}'", mib_key::kCounterDepth));
  } else if (layout.counter_depth && *depth != std::to_string(*layout.counter_depth)) {
    report(AnomalyKind::kHeaderContradiction,
           fmt::format("counter depth {}, but {} in the frame headers: the file may belong to "
                       "another acquisition",
                       *depth, *layout.counter_depth));
  }
  const auto assembly = sidecar.Get(mib_key::kAssembly);
  if (!assembly) {
    report(AnomalyKind::kOther, fmt::format("there is no value for '{}'", mib_key::kAssembly));
  } else if (WithoutGap(*assembly) != WithoutGap(layout.assembly)) {
    report(AnomalyKind::kHeaderContradiction,
           fmt::format("assembly {}, but layout {} in the frame headers: the file may belong to "
                       "another acquisition",
                       *assembly, layout.assembly));
  }
  return anomalies;
}

}  // namespace penstock::ingest
