#include "ingest/formats/gatan_tags/gatan_facts.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace penstock::ingest::gatan {

namespace {

constexpr const char* kInstrument = "measurement/event1/instrument/";

class FactWriter {
 public:
  FactWriter(const TagNode& tags, const std::string& where, std::vector<MetadataFact>& facts)
      : tags_(tags), where_(where), facts_(facts) {}

  // Zero stands for a value that the program did not have.
  void Positive(std::initializer_list<std::string_view> names, const std::string& path,
                const char* units, const char* remark = "") {
    const TagNode* node = tags_.Find(names);
    if (node == nullptr) return;
    const auto number = node->Number();
    if (number && std::isfinite(*number) && *number > 0) Add(path, *number, units, names, remark);
  }

  void Text(std::initializer_list<std::string_view> names, const std::string& path) {
    const TagNode* node = tags_.Find(names);
    if (node != nullptr && node->kind == TagKind::kText && !node->text.empty()) {
      Add(path, node->text, "", names, "");
    }
  }

 private:
  void Add(const std::string& path, Json value, std::string units,
           std::initializer_list<std::string_view> names, const char* remark) {
    const bool known = std::ranges::any_of(
        facts_, [&path](const MetadataFact& fact) { return fact.path == path; });
    if (known) return;
    std::string evidence = where_;
    for (const std::string_view name : names) evidence.append("/").append(name);
    evidence += remark;
    facts_.push_back({path, std::move(value), std::move(units), std::move(evidence)});
  }

  const TagNode& tags_;
  const std::string& where_;
  std::vector<MetadataFact>& facts_;
};

}  // namespace

void AddGatanFacts(const TagNode& image_tags, const std::string& where,
                   std::vector<MetadataFact>& facts) {
  const std::string instrument = kInstrument;
  FactWriter writer(image_tags, where, facts);
  writer.Positive({"Microscope Info", "Voltage"},
                  instrument + "ebeam_column/electron_source/voltage", "V",
                  " (in V, as Gatan's programs write it)");
  writer.Positive({"Microscope Info", "STEM Camera Length"}, instrument + "optics/camera_length",
                  "mm", " (in mm, as Gatan's programs write it)");
  writer.Positive({"Microscope Info", "Indicated Magnification"},
                  instrument + "optics/magnification", "");
  writer.Text({"Microscope Info", "Operation Mode"}, instrument + "ebeam_column/operation_mode");
  writer.Text({"Microscope Info", "Name"}, "measurement/instrument/name");
  writer.Text({"Session Info", "Microscope"}, "measurement/instrument/name");
  writer.Positive({"Acquisition", "Parameters", "High Level", "Exposure (s)"},
                  instrument + "detector1/count_time", "s");
  writer.Positive({"Acquisition", "Parameters", "Detector", "exposure (s)"},
                  instrument + "detector1/count_time", "s");
  writer.Positive({"DataBar", "Exposure Time (s)"}, instrument + "detector1/count_time", "s");
  writer.Text({"Acquisition", "Device", "Name"}, "measurement/instrument/detector1/name");
  writer.Text({"DataBar", "Device Name"}, "measurement/instrument/detector1/name");
}

}  // namespace penstock::ingest::gatan
