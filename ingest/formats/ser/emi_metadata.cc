#include "ingest/formats/ser/emi_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <pugixml.hpp>
#include <string_view>

namespace penstock::ingest::ser {

namespace {

// pugixml takes about 64 bytes per node.
constexpr ptrdiff_t kMaxTags = 500'000;

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::optional<double> ParseNumber(std::string_view text) {
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || !std::isfinite(number)) {
    return std::nullopt;
  }
  return number;
}

struct LabelledValue {
  std::string value;
  std::string unit;
};

class EmiReader {
 public:
  EmiReader(const EmiObject& object, std::string emi_name, pugi::xml_node root)
      : object_(object), emi_name_(std::move(emi_name)), root_(root) {
    for (const pugi::xml_node data :
         root.child("ExperimentalDescription").child("Root").children("Data")) {
      labelled_.try_emplace(std::string(Trim(data.child_value("Label"))),
                            LabelledValue{std::string(Trim(data.child_value("Value"))),
                                          std::string(Trim(data.child_value("Unit")))});
    }
  }

  EmiFacts Read() {
    ReadVoltage();
    ReadAcquisition();
    ReadMicroscope();
    ReadStage();
    ReadPixelUnits();
    return std::move(result_);
  }

 private:
  std::string Evidence(std::string_view place) const {
    return fmt::format("{}: {}: {}", emi_name_, object_.match_note, place);
  }

  void Add(std::string path, Json value, std::string units, std::string_view place) {
    result_.facts.push_back({std::move(path), std::move(value), std::move(units), Evidence(place)});
  }

  std::string Acquire(const char* name) const {
    return std::string(Trim(root_.child("AcquireInfo").child_value(name)));
  }

  // A number of AcquireInfo; a complaint when there is a text that is no number.
  std::optional<double> AcquireNumber(const char* name, std::string_view suffix = {}) {
    std::string text = Acquire(name);
    if (text.empty()) return std::nullopt;
    if (!suffix.empty() && text.ends_with(suffix)) text.resize(text.size() - suffix.size());
    const auto number = ParseNumber(Trim(text));
    if (!number) Complain(fmt::format("AcquireInfo/{} is not a number: '{}'", name, text));
    return number;
  }

  // A value of ExperimentalDescription in the unit that it is always seen with; a value with
  // another unit is not taken.
  std::optional<double> Labelled(std::string_view label, std::string_view unit) {
    const auto found = labelled_.find(std::string(label));
    if (found == labelled_.end() || found->second.value.empty()) return std::nullopt;
    const auto number = ParseNumber(found->second.value);
    if (!number || found->second.unit != unit) {
      Complain(fmt::format("'{}' is '{}' in '{}', expected a number in '{}'", label,
                           found->second.value, found->second.unit, unit));
      return std::nullopt;
    }
    return number;
  }

  void Complain(std::string_view text) { result_.complaints.push_back(Evidence(text)); }

  void ReadVoltage() {
    constexpr const char* kPath =
        "measurement/event1/instrument/ebeam_column/electron_source/voltage";
    const std::string text(Trim(root_.child("ExperimentalConditions")
                                    .child("MicroscopeConditions")
                                    .child_value("AcceleratingVoltage")));
    const auto volts = ParseNumber(text);
    if (!text.empty() && !volts) {
      Complain(fmt::format("AcceleratingVoltage is not a number: '{}'", text));
    }
    const auto kilovolts = Labelled("High tension", "kV");
    if (volts && kilovolts && std::abs(*volts - *kilovolts * 1000) > 500) {
      Complain(
          fmt::format("AcceleratingVoltage is {} V, High tension is {} kV", *volts, *kilovolts));
      return;
    }
    if (volts) {
      Add(kPath, *volts, "V", "AcceleratingVoltage");
    } else if (kilovolts) {
      Add(kPath, *kilovolts * 1000, "V", "High tension (kV, times 1000)");
    }
  }

  void ReadAcquisition() {
    const std::string camera = Acquire("CameraNamePath");
    if (!camera.empty()) {
      Add("measurement/instrument/detector1/name", camera, "", "AcquireInfo/CameraNamePath");
    }
    if (const auto seconds = AcquireNumber("DwellTimePath"); seconds && *seconds > 0) {
      // With a camera the field is its exposure, without one the time per pixel of a STEM image.
      if (!camera.empty()) {
        Add("measurement/event1/instrument/detector1/count_time", *seconds, "s",
            "AcquireInfo/DwellTimePath, of a camera");
      } else {
        Add("measurement/event1/instrument/ebeam_column/scan_controller/dwell_time", *seconds, "s",
            "AcquireInfo/DwellTimePath");
      }
    }
    if (const auto seconds = AcquireNumber("FrameTime"); seconds && *seconds > 0) {
      Add("measurement/event1/instrument/detector1/frame_time", *seconds, "s",
          "AcquireInfo/FrameTime");
    }
    // "0 X" and "1 X" stand in diffraction mode, where there is no magnification.
    if (const auto times = AcquireNumber("Magnification", "X"); times && *times > 1) {
      Add("measurement/event1/instrument/optics/magnification", *times, "",
          "AcquireInfo/Magnification");
    }
  }

  void ReadMicroscope() {
    if (const auto found = labelled_.find("Microscope");
        found != labelled_.end() && !found->second.value.empty()) {
      Add("measurement/instrument/name", found->second.value, "", "Microscope");
    }
    if (const auto found = labelled_.find("Mode");
        found != labelled_.end() && !found->second.value.empty()) {
      Add("measurement/event1/instrument/ebeam_column/operation_mode", found->second.value, "",
          "Mode");
    }
    if (const auto metres = Labelled("Camera length", "m")) {
      Add("measurement/event1/instrument/optics/camera_length", *metres, "m", "Camera length");
    }
  }

  void ReadStage() {
    const auto x = Labelled("Stage X", "um");
    const auto y = Labelled("Stage Y", "um");
    const auto z = Labelled("Stage Z", "um");
    if (x && y && z) {
      Add("measurement/event1/instrument/stage1/position", Json::array({*x, *y, *z}), "um",
          "Stage X, Stage Y, Stage Z");
    }
    if (const auto alpha = Labelled("Stage A", "deg")) {
      Add("measurement/event1/instrument/stage1/tilt1", *alpha, "deg", "Stage A");
    }
    if (const auto beta = Labelled("Stage B", "deg")) {
      Add("measurement/event1/instrument/stage1/tilt2", *beta, "deg", "Stage B");
    }
  }

  void ReadPixelUnits() {
    if (!object_.space.empty()) {
      result_.pixel_units = object_.space == "Real Space" ? "m" : "1/m";
      result_.pixel_units_evidence =
          Evidence(fmt::format("'{}' in front of the path", object_.space));
      return;
    }
    // The mode is the microscope's: in STEM it says Diffraction for scanned images as well, so it
    // decides only where a camera took the frames.
    const auto mode = labelled_.find("Mode");
    if (mode == labelled_.end() || mode->second.value.empty() ||
        Acquire("CameraNamePath").empty()) {
      return;
    }
    const bool diffraction = mode->second.value.find("Diffraction") != std::string::npos;
    result_.pixel_units = diffraction ? "1/m" : "m";
    result_.pixel_units_evidence =
        Evidence(fmt::format("Mode '{}', frames of a camera", mode->second.value));
  }

  const EmiObject& object_;
  const std::string emi_name_;
  const pugi::xml_node root_;
  std::map<std::string, LabelledValue> labelled_;
  EmiFacts result_;
};

}  // namespace

Result<EmiFacts> ReadEmiFacts(const EmiObject& object, const std::string& emi_name) {
  if (std::ranges::count(object.xml, '<') > kMaxTags) {
    return Error::Unsupported("an ObjectInfo block with too many elements")
        .In(emi_name)
        .AtOffset(object.offset)
        .Expected(fmt::format("at most {} tags", kMaxTags))
        .Found("more");
  }
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(
      object.xml.data(), object.xml.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) {
    return Error::Corrupt(fmt::format("an ObjectInfo block is not XML: {}", parsed.description()))
        .In(emi_name)
        .AtOffset(object.offset + static_cast<uint64_t>(parsed.offset));
  }
  return EmiReader(object, emi_name, document.child("ObjectInfo")).Read();
}

}  // namespace penstock::ingest::ser
