// NeXus: the chain of `default` to an NXdata and its signal. docs/formats/nexus.md.

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/hdf5/dresses.h"

namespace penstock::ingest::hdf5 {

namespace {

bool IsClass(const Object& object, const char* nx_class) {
  return object.is_group() && object.TextAttribute("NX_class") == nx_class;
}

struct Plot {
  Object group;  // NXdata, or the NXdetector of a file without any
  Object signal;
  std::string signal_name;
};

// The signal of an NXdata by its attribute, or by the signal = 1 of old files.
Result<Plot> SignalOf(const Object& data) {
  Plot plot;
  PENSTOCK_ASSIGN_OR_RETURN(plot.group, data.Get("."));
  if (const auto name = data.TextAttribute("signal")) {
    PENSTOCK_ASSIGN_OR_RETURN(plot.signal, data.Get(*name));
    plot.signal_name = *name;
  } else {
    for (const std::string& child : data.Children(1000)) {
      auto dataset = data.Find(child);
      if (!dataset || !dataset->is_dataset()) continue;
      const auto signal = dataset->Attribute("signal");
      const bool marked = signal && AsNumber(*signal) == 1;
      if (!marked && !(child == "data" && !plot.signal.valid())) continue;
      plot.signal = std::move(*dataset);
      plot.signal_name = child;
      if (marked) break;
    }
  }
  if (!plot.signal.valid() || !plot.signal.is_dataset()) {
    return Error::Corrupt("this NXdata has no signal")
        .In(data.container()->path().string())
        .At(data.path())
        .Expected("an attribute signal that names one of its datasets")
        .Found("none")
        .Advice("name the dataset with --dataset-path");
  }
  return plot;
}

bool IsImageStack(const Plot& plot) {
  const std::vector<uint64_t> shape = plot.signal.Shape();
  if (shape.size() < 2 || !plot.signal.IsNumeric()) return false;
  for (const Object* object : {&plot.group, &plot.signal}) {
    const auto interpretation = object->TextAttribute("interpretation");
    if (!interpretation) continue;
    return interpretation == "image" || interpretation == "rgb-image";
  }
  return shape.back() > 1 && shape[shape.size() - 2] > 1;
}

class NexusReader {
 public:
  explicit NexusReader(const Object& root) : root_(root) {}

  Result<Selection> Read(const std::string& dataset_path) {
    Plot plot;
    if (dataset_path.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(plot, ByDefault());
    }
    if (!plot.signal.valid()) {
      PENSTOCK_ASSIGN_OR_RETURN(plot, AmongAll(dataset_path));
    }
    if (!plot.signal.valid()) return SelectPlain(root_, dataset_path);
    if (dataset_path.empty() && !IsImageStack(plot)) {
      return Error::Unsupported("the default plot of this file holds no images")
          .In(root_.container()->path().string())
          .At(plot.signal.path())
          .Expected("an NXdata whose signal has images in its last two axes")
          .Found(fmt::format("{}, interpretation '{}'", hdf5::Describe(plot.signal),
                             plot.group.TextAttribute("interpretation").value_or("")))
          .Advice("choose a dataset with --dataset-path");
    }
    return Describe(std::move(plot));
  }

 private:
  // Empty where there is no default.
  Result<Plot> ByDefault() {
    Plot none;
    const auto entry_name = root_.TextAttribute("default");
    if (!entry_name) return none;
    PENSTOCK_ASSIGN_OR_RETURN(Object at, root_.Get(*entry_name));
    // The entry names the next, until an NXdata is reached.
    for (int i = 0; i < 8 && !IsClass(at, "NXdata"); ++i) {
      const auto next = at.TextAttribute("default");
      if (!next) return none;
      PENSTOCK_ASSIGN_OR_RETURN(Object there, at.Get(*next));
      at = std::move(there);
    }
    if (!IsClass(at, "NXdata")) return none;
    return SignalOf(at);
  }

  // Every NXdata of the file with images; where there is none, every NXdetector.
  Result<Plot> AmongAll(const std::string& dataset_path) {
    std::vector<Plot> plots;
    std::vector<Object> signals;
    std::optional<Error> broken;
    for (const char* nx_class : {"NXdata", "NXdetector"}) {
      if (!plots.empty()) break;
      WalkObjects(root_, [&](const Object& object) {
        if (object.is_dataset() || plots.size() >= 1000) return false;
        if (!IsClass(object, nx_class)) return true;
        auto plot = SignalOf(object);
        if (!plot.ok()) {
          if (!broken && object.TextAttribute("signal")) broken = plot.error();
          return true;
        }
        const bool wanted =
            dataset_path.empty() ? IsImageStack(*plot) : plot->signal.Shape().size() >= 2;
        const bool known = std::ranges::any_of(
            signals, [&](const Object& other) { return other.key() == plot->signal.key(); });
        if (!wanted || known) return true;
        if (auto again = root_.Find(plot->signal.path())) {
          signals.push_back(std::move(*again));
        } else if (auto there = plot->group.Find(plot->signal_name)) {
          signals.push_back(std::move(*there));
        } else {
          return true;
        }
        plots.push_back(std::move(*plot));
        return true;
      });
    }
    if (dataset_path.empty()) PreferStacks(plots, signals);
    PENSTOCK_ASSIGN_OR_RETURN(const Choice choice, Choose(root_, signals, dataset_path));
    if (choice.found) return std::move(plots[choice.index]);
    if (!dataset_path.empty()) return Plot{};
    if (broken) return std::move(*broken);
    return NoCandidate(root_, "an NXdata whose signal has images in its last two axes");
  }

  static void PreferStacks(std::vector<Plot>& plots, std::vector<Object>& signals) {
    const auto is_stack = [](const Object& signal) { return signal.Shape().size() > 2; };
    if (std::ranges::none_of(signals, is_stack)) return;
    for (size_t i = plots.size(); i-- > 0;) {
      if (is_stack(signals[i])) continue;
      plots.erase(plots.begin() + static_cast<ptrdiff_t>(i));
      signals.erase(signals.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  Result<Selection> Describe(Plot plot) {
    const size_t rank = plot.signal.Shape().size();
    selection_.axes = ImageAxes(rank);
    ReadAxes(plot);
    ReadFacts(plot);
    selection_.vendor_headers.push_back(DumpMetadata(root_, root_.container()->name()));
    selection_.parts.push_back(std::move(plot.signal));
    return std::move(selection_);
  }

  // The names of the axes, one per axis of the signal, "." for none.
  std::vector<std::string> AxisNames(const Plot& plot) {
    for (const Object* object : {&plot.group, &plot.signal}) {
      const auto axes = object->Attribute("axes");
      if (!axes) continue;
      std::vector<std::string> names = AsTexts(*axes);
      // Old files: one text with colons, commas or blanks.
      if (names.size() == 1 && names[0].find_first_of(":, ") != std::string::npos) {
        std::string text = names[0];
        names.clear();
        while (!text.empty()) {
          const size_t end = std::min(text.find_first_of(":, "), text.size());
          names.push_back(text.substr(0, end));
          text.erase(0, end + 1);
        }
      }
      return names;
    }
    return {};
  }

  void ReadAxes(const Plot& plot) {
    const std::vector<uint64_t> shape = plot.signal.Shape();
    selection_.statements.resize(shape.size());
    const std::vector<std::string> names = AxisNames(plot);
    if (names.empty()) return OldAxes(plot, shape);
    if (names.size() != shape.size()) {
      AddAnomaly(selection_, plot.group, AnomalyKind::kOther,
                 fmt::format("{} axes for a signal of {}", names.size(), shape.size()));
    }
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == "." || names[i].empty()) continue;
      size_t axis = i;
      if (const auto indices = plot.group.Attribute(names[i] + "_indices")) {
        const std::vector<double> list = AsNumbers(*indices);
        if (list.size() != 1 || list[0] < 0 || list[0] >= static_cast<double>(shape.size())) {
          continue;  // an axis of several dimensions is no linear scale
        }
        axis = static_cast<size_t>(list[0]);
      }
      if (axis < shape.size()) ReadAxis(plot, names[i], axis, shape);
    }
  }

  // The axis datasets themselves name the axis, counted from 1.
  void OldAxes(const Plot& plot, const std::vector<uint64_t>& shape) {
    for (const std::string& name : plot.group.Children(1000)) {
      const auto dataset = plot.group.Find(name);
      if (!dataset || !dataset->is_dataset()) continue;
      const auto axis = dataset->NumberAttribute("axis");
      if (!axis || *axis < 1 || *axis > static_cast<double>(shape.size())) continue;
      ReadAxis(plot, name, static_cast<size_t>(*axis) - 1, shape);
    }
  }

  void ReadAxis(const Plot& plot, const std::string& name, size_t axis,
                const std::vector<uint64_t>& shape) {
    const auto dataset = plot.group.Find(name);
    if (!dataset || !dataset->is_dataset() || dataset->Shape().size() != 1) return;
    AxisStatement& statement = selection_.statements[axis];
    statement.name = dataset->TextAttribute("long_name").value_or(name);
    statement.units = dataset->TextAttribute("units").value_or("");
    statement.evidence = fmt::format("{}: values and units", dataset->Place());
    const std::vector<double> values = dataset->Numbers();
    if (values.size() != shape[axis] && values.size() != shape[axis] + 1) {
      AddAnomaly(
          selection_, *dataset, AnomalyKind::kOther,
          fmt::format("{} coordinates for an axis of {}: left out", values.size(), shape[axis]));
      return;
    }
    SetLinear(statement, values, shape[axis], *dataset, selection_);
    if (values.size() == shape[axis] + 1 && statement.step) {
      statement.offset += *statement.step / 2;  // edges of bins
    }
  }

  // A scalar with its unit attribute; without one where `needs_units` it says nothing.
  void AddNumber(const Object& group, const char* name, std::string path, bool needs_units) {
    const auto dataset = group.Find(name);
    const auto value = dataset && dataset->is_dataset() ? dataset->Number() : std::nullopt;
    if (!value) return;
    const std::string units = dataset->TextAttribute("units").value_or("");
    if (needs_units && units.empty()) return;
    AddFact(selection_, std::move(path), *value, units, dataset->Place());
  }
  void AddText(const Object& group, const char* name, std::string path) {
    const auto dataset = group.Find(name);
    const auto text = dataset && dataset->is_dataset() ? dataset->Text() : std::nullopt;
    if (text && !text->empty()) {
      AddFact(selection_, std::move(path), *text, "", dataset->Place());
    }
  }

  void ReadFacts(const Plot& plot) {
    const auto entry = root_.Find(plot.group.path().substr(0, plot.group.path().find('/', 1)));
    if (!entry || !IsClass(*entry, "NXentry")) return;
    AddText(*entry, "title", "title");
    AddTime(*entry, "start_time");
    AddTime(*entry, "end_time");
    std::vector<std::string> detectors;
    WalkObjects(*entry, [&](const Object& object) {
      if (object.is_dataset()) return false;
      if (IsClass(object, "NXdetector")) detectors.push_back(object.path());
      if (IsClass(object, "NXsource") || IsClass(object, "NXbeam")) ReadBeam(object);
      if (IsClass(object, "NXsample")) AddText(object, "name", "sample/name");
      return true;
    });
    if (detectors.size() != 1) return;
    const auto detector = root_.Find(detectors[0]);
    if (!detector) return;
    const std::string event = "measurement/event1/instrument/detector1/";
    AddNumber(*detector, "count_time", event + "count_time", true);
    AddNumber(*detector, "frame_time", event + "frame_time", true);
    AddNumber(*detector, "x_pixel_size", "measurement/instrument/detector1/x_pixel_size", true);
    AddNumber(*detector, "y_pixel_size", "measurement/instrument/detector1/y_pixel_size", true);
    AddText(*detector, "description", "measurement/instrument/detector1/description");
  }

  void AddTime(const Object& entry, const char* name) {
    const auto dataset = entry.Find(name);
    const auto text = dataset && dataset->is_dataset() ? dataset->Text() : std::nullopt;
    const bool zone =
        text && text->size() > 19 && text->find_first_of("Z+-", 19) != std::string::npos;
    if (!zone) return;
    if (std::string_view(name) == "start_time") {
      AddFact(selection_, "start_time", *text, "", dataset->Place());
    }
    AddFact(selection_, fmt::format("measurement/event1/{}", name), *text, "", dataset->Place());
  }

  // Only of electrons: the energy of a photon beam is no voltage.
  void ReadBeam(const Object& group) {
    const auto probe = group.Find("probe");
    if (!probe || probe->Text() != "electron") return;
    for (const char* name : {"energy", "incident_energy", "voltage"}) {
      const auto dataset = group.Find(name);
      const auto value = dataset && dataset->is_dataset() ? dataset->Number() : std::nullopt;
      std::string units = dataset ? dataset->TextAttribute("units").value_or("") : "";
      if (!value || units.empty()) continue;
      if (units == "eV") units = "V";
      if (units == "keV") units = "kV";
      AddFact(selection_, "measurement/event1/instrument/ebeam_column/electron_source/voltage",
              *value, units, dataset->Place());
      return;
    }
  }

  const Object& root_;
  Selection selection_;
};

}  // namespace

Result<Selection> SelectNexus(const Object& root, const std::string& dataset_path) {
  return NexusReader(root).Read(dataset_path);
}

}  // namespace penstock::ingest::hdf5
