#include "ingest/formats/empad/empad_xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <pugixml.hpp>

#include "ingest/formats/records/text.h"
#include "penstock/base/file.h"

namespace penstock::ingest::empad {

namespace {

using records::ParseCount;
using records::ParseNumber;
using records::ToUtf8;
using records::Trim;

// pugixml takes about 64 bytes per node.
constexpr ptrdiff_t kMaxTags = 200'000;
constexpr int64_t kMaxSide = int64_t{1} << 31;

constexpr const char* kEvent = "measurement/event1/instrument/";

class XmlReader {
 public:
  XmlReader(const std::filesystem::path& path, pugi::xml_node root)
      : name_(path.filename().string()), root_(root) {}

  Description Read() {
    ReadRawName();
    ReadShapes();
    ReadFacts();
    return std::move(result_);
  }

 private:
  std::string Evidence(std::string_view place) const { return fmt::format("{}: {}", name_, place); }
  void Complain(std::string text) { result_.complaints.push_back(std::move(text)); }
  void Add(const char* path, Json value, std::string units, std::string_view place) {
    result_.facts.push_back(
        {std::string(path), std::move(value), std::move(units), Evidence(place)});
  }

  void ReadRawName() {
    std::string name(Trim(root_.child("raw_file").attribute("filename").value()));
    // The camera's computer may run either system; only the last component means anything here.
    const size_t slash = name.find_last_of("/\\");
    if (slash != std::string::npos) name.erase(0, slash + 1);
    if (name == "." || name == "..") name.clear();
    if (name.empty()) Complain("raw_file names no file");
    result_.raw_name = std::move(name);
  }

  std::optional<int64_t> Side(pugi::xml_node parent, const char* child) {
    const pugi::xml_node node = parent.child(child);
    if (!node) return std::nullopt;
    const auto side = ParseCount(node.child_value());
    if (!side || *side < 1 || *side > kMaxSide) {
      Complain(fmt::format("{} is '{}', which is not a positive number", child,
                           ToUtf8(std::string_view(node.child_value()).substr(0, 40))));
      return std::nullopt;
    }
    return side;
  }

  void AddScan(pugi::xml_node parent, const char* rows_name, const char* columns_name,
               const std::string& place) {
    const auto rows = Side(parent, rows_name);
    const auto columns = Side(parent, columns_name);
    if (!rows || !columns) return;
    result_.shapes.push_back({{*rows, *columns, false},
                              Evidence(fmt::format("{}{} = {}, {} = {}", place, rows_name, *rows,
                                                   columns_name, *columns))});
  }

  void AddSeries(pugi::xml_node parent, const char* name, const std::string& place) {
    const auto count = Side(parent, name);
    if (!count) return;
    result_.shapes.push_back(
        {{1, *count, true}, Evidence(fmt::format("{}{} = {}", place, name, *count))});
  }

  // In the order in which the reference readers trust them; the file's size decides.
  void ReadShapes() {
    const std::string type(Trim(root_.child_value("type")));
    if (!type.empty() && type != "scan" && type != "series") {
      Complain(
          fmt::format("type is '{}', expected 'scan' or 'series'", ToUtf8(type.substr(0, 40))));
    }
    const auto add_series = [this] {
      AddSeries(root_, "count", "");
      for (const pugi::xml_node scan : root_.children("scan_parameters")) {
        AddSeries(scan, "series_count", "scan_parameters: ");
      }
    };
    if (type == "series") add_series();
    for (const std::string_view mode : {"acquire", "search"}) {
      for (const pugi::xml_node scan : root_.children("scan_parameters")) {
        if (mode != scan.attribute("mode").value()) continue;
        AddScan(scan, "scan_resolution_y", "scan_resolution_x",
                fmt::format("scan_parameters {}: ", mode));
      }
    }
    AddScan(root_, "pix_y", "pix_x", "");
    if (type != "series") add_series();
  }

  std::optional<double> Number(pugi::xml_node node, std::string_view place) {
    const std::string_view text = Trim(node.child_value());
    if (text.empty() || text == "None") return std::nullopt;
    const auto number = ParseNumber(text);
    if (!number) {
      Complain(fmt::format("{} is '{}', which is not a number", place, ToUtf8(text.substr(0, 40))));
    }
    return number;
  }

  // "[4.5e-06, 4.5e-06]"
  static std::vector<double> List(std::string_view text) {
    std::vector<double> numbers;
    text = Trim(text);
    if (text.size() < 2 || text.front() != '[' || text.back() != ']') return {};
    text = text.substr(1, text.size() - 2);
    while (!text.empty() && numbers.size() < 16) {
      const size_t comma = text.find(',');
      const auto number = ParseNumber(text.substr(0, comma));
      if (!number) return {};
      numbers.push_back(*number);
      text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return numbers;
  }

  // The first of the two generations' names that is there.
  void AddNumber(const char* path, const char* units, const char* older, const char* newer) {
    const pugi::xml_node microscope = root_.child("iom_measurements");
    for (const char* name : {older, newer}) {
      const pugi::xml_node node = microscope.child(name);
      if (!node) continue;
      const std::string place = fmt::format("iom_measurements/{}", name);
      if (const auto number = Number(node, place); number && *number > 0) {
        Add(path, *number, units, place);
        return;
      }
    }
  }

  void ReadFieldOfView() {
    constexpr const char* kPath =
        "measurement/event1/instrument/ebeam_column/scan_controller/full_field_of_view";
    const pugi::xml_node microscope = root_.child("iom_measurements");
    const char* const older = "optics.get_full_scan_field_of_view";
    if (const std::vector<double> view = List(microscope.child_value(older)); view.size() == 2) {
      Add(kPath, Json::array({view[0], view[1]}), "m",
          fmt::format("iom_measurements/{}, in the file's order", older));
      return;
    }
    const pugi::xml_node view = microscope.child("full_scan_field_of_view");
    if (!view) return;
    const auto x = Number(view.child("x"), "full_scan_field_of_view/x");
    const auto y = Number(view.child("y"), "full_scan_field_of_view/y");
    if (!x || !y) return;
    std::string place = "iom_measurements/full_scan_field_of_view: x, y";
    if (const auto scale = Number(view.child("scale_factor"), "scale_factor")) {
      place += fmt::format(" (scale_factor {} not applied)", *scale);
    }
    Add(kPath, Json::array({*x, *y}), "m", place);
  }

  void ReadFacts() {
    Add("measurement/instrument/detector1/name", "EMPAD", "", "an XML description as EMPAD writes");
    if (const auto ms = Number(root_.child("exposure_time"), "exposure_time"); ms && *ms > 0) {
      Add("measurement/event1/instrument/detector1/count_time", *ms / 1000, "s",
          fmt::format("exposure_time = {} ms", *ms));
    }
    const std::string software(Trim(root_.child_value("software_version")));
    if (!software.empty()) {
      Add("measurement/instrument/program1/program", "EMPAD software " + ToUtf8(software), "",
          "software_version");
    }
    const std::string voltage = std::string(kEvent) + "ebeam_column/electron_source/voltage";
    AddNumber(voltage.c_str(), "V", "source.get_voltage", "high_voltage");
    const std::string camera_length = std::string(kEvent) + "optics/camera_length";
    AddNumber(camera_length.c_str(), "m", "optics.get_cameralength", "nominal_camera_length");
    ReadFieldOfView();
    const std::string_view unix_time = root_.child("timestamp").attribute("timestamp").value();
    if (const auto seconds = ParseNumber(unix_time); seconds && *seconds > 0 && *seconds < 7e9) {
      if (const auto text = records::UtcText(static_cast<int64_t>(*seconds * 1e6) * 1000)) {
        const char* const place =
            "timestamp@timestamp (Unix time; whether of the begin or the end is not stated)";
        Add("start_time", *text, "", place);
        Add("measurement/event1/start_time", *text, "", place);
      }
    }
  }

  const std::string name_;
  const pugi::xml_node root_;
  Description result_;
};

// Digits at the front of `text`, which are removed.
std::optional<int64_t> TakeCount(std::string_view& text) {
  int64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || count < 1 || count > kMaxSide) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  return count;
}

bool TakeText(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

}  // namespace

bool LooksLikeDescription(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return Trim(text).starts_with('<') && text.find("<raw_file") != std::string_view::npos &&
         (text.find("<camserver_parameters") != std::string_view::npos ||
          text.find("<scan_parameters") != std::string_view::npos);
}

Result<Description> ReadDescription(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxXmlBytes));
  if (std::ranges::count(text, '<') > kMaxTags) {
    return Error::Unsupported(fmt::format("more than {} XML tags", kMaxTags)).In(path.string());
  }
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default | pugi::parse_doctype);
  if (!parsed) {
    return Error::Corrupt("this is not well-formed XML")
        .In(path.string())
        .AtOffset(static_cast<uint64_t>(std::max<ptrdiff_t>(0, parsed.offset)))
        .Expected("the XML description of an EMPAD acquisition")
        .Found(parsed.description())
        .Advice("give the .raw file with --format empad to go on without the description");
  }
  for (const pugi::xml_node node : document.children()) {
    if (node.type() != pugi::node_doctype) continue;
    return Error::Unsupported("the XML has a document type definition, which EMPAD never writes")
        .In(path.string())
        .Expected("a plain root element")
        .Found("<!DOCTYPE");
  }
  const pugi::xml_node root = document.document_element();
  if (!root.child("raw_file")) {
    return Error::Corrupt("the XML names no raw file")
        .In(path.string())
        .Expected("a root element with raw_file")
        .Found(fmt::format("<{}>", ToUtf8(std::string_view(root.name()).substr(0, 40))))
        .Advice("check that this is the XML file of an EMPAD acquisition");
  }
  Description description = XmlReader(path, root).Read();
  description.text = ToUtf8(text);
  return description;
}

std::vector<ScanShapeEvidence> ShapesOfName(const std::string& name) {
  const std::string lower = records::Lowercase(name);
  std::string_view rest = lower;
  if (TakeText(rest, "scan_x")) {
    const auto columns = TakeCount(rest);
    if (!columns || !TakeText(rest, "_y")) return {};
    const auto rows = TakeCount(rest);
    if (!rows || rest != ".raw") return {};
    return {{{*rows, *columns, false}, "name of the file: " + ToUtf8(name)}};
  }
  if (TakeText(rest, "series_x")) {
    const auto count = TakeCount(rest);
    if (!count || rest != ".raw") return {};
    return {{{1, *count, true}, "name of the file: " + ToUtf8(name)}};
  }
  return {};
}

}  // namespace penstock::ingest::empad
