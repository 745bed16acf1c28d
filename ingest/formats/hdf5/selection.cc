#include "ingest/formats/hdf5/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace penstock::ingest::hdf5 {

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxObjects = 100000;
constexpr size_t kMaxListed = 20;
constexpr size_t kMaxDumpBytes = size_t{1} << 20;
constexpr uint64_t kMaxDumpElements = 64;

class Walker {
 public:
  explicit Walker(const std::function<bool(const Object&)>& visit) : visit_(visit) {}

  void Walk(const Object& group, int depth) {
    if (depth == 0) return;
    for (const std::string& name : group.Children()) {
      if (seen_.size() >= kMaxObjects) return;
      const auto child = group.Find(name);
      if (!child || !seen_.insert(child->key()).second) continue;
      const bool enter = visit_(*child);
      if (enter && child->is_group()) Walk(*child, depth - 1);
    }
  }

 private:
  const std::function<bool(const Object&)>& visit_;
  std::set<ObjectKey> seen_;
};

class Dumper {
 public:
  Json Dump(const Object& object, int depth) {
    Json json = Json::object();
    for (const std::string& name : object.AttributeNames()) {
      if (Full()) return json;
      const auto value = object.Attribute(name, kMaxDumpElements);
      Put(json, "@" + name, value ? *value : Json("(left out)"));
    }
    if (object.is_dataset()) {
      const auto value = object.Value(kMaxDumpElements);
      const std::string what = fmt::format("({} {})", ShapeText(object.Shape()), object.TypeText());
      if (json.empty()) return value ? Count(*value) : Count(what);
      Put(json, "value", value ? *value : Json(what));
      return json;
    }
    if (depth == 0 || !seen_.insert(object.key()).second) return json;
    for (const std::string& name : object.Children()) {
      if (Full()) return json;
      const auto child = object.Get(name);
      if (!child.ok()) {
        Put(json, name, "(a link that leads nowhere)");
      } else if (child->container() != object.container()) {
        Put(json, name, "(in " + child->Place() + ")");
      } else {
        json[name] = Dump(*child, depth - 1);
        bytes_ += name.size() + 8;
      }
    }
    return json;
  }
  bool Full() const { return bytes_ > kMaxDumpBytes; }

 private:
  Json Count(Json value) {
    bytes_ += value.is_string() ? value.get_ref<const std::string&>().size() : 16 * value.size();
    return value;
  }
  void Put(Json& json, const std::string& name, Json value) {
    bytes_ += name.size() + 8;
    json[name] = Count(std::move(value));
  }

  std::set<ObjectKey> seen_;
  size_t bytes_ = 0;
};

}  // namespace

void AddAnomaly(chunked::FrameSelection& selection, const Object& where, AnomalyKind kind,
                std::string message) {
  Anomaly anomaly;
  anomaly.kind = kind;
  anomaly.file = where.container()->path().string();
  anomaly.message = where.path() + ": " + std::move(message);
  selection.anomalies.push_back(std::move(anomaly));
}

void SetLinear(AxisStatement& axis, const std::vector<double>& values, uint64_t size,
               const Object& where, chunked::FrameSelection& selection) {
  auto complaint = chunked::FitLinear(axis, values, size);
  if (complaint) AddAnomaly(selection, where, AnomalyKind::kOther, std::move(*complaint));
}

void WalkObjects(const Object& root, const std::function<bool(const Object&)>& visit) {
  const Hdf5Session session;
  Walker(visit).Walk(root, kMaxDepth);
}

std::string Describe(const Object& dataset) {
  return fmt::format("{} {} {}", dataset.path(), ShapeText(dataset.Shape()), dataset.TypeText());
}

Error SeveralCandidates(const Container& container, const std::vector<Object>& candidates) {
  std::string list;
  for (size_t i = 0; i < candidates.size() && i < kMaxListed; ++i) {
    list += (i == 0 ? "" : "; ") + Describe(candidates[i]);
  }
  if (candidates.size() > kMaxListed) {
    list += fmt::format("; and {} more", candidates.size() - kMaxListed);
  }
  return Error::InvalidArgument("several datasets of the file could be meant")
      .In(container.path().string())
      .Expected("one")
      .Found(list)
      .Advice("choose with --dataset-path");
}

Error NoCandidate(const Object& root, const std::string& expected) {
  std::vector<std::string> wide;
  std::vector<std::string> others;
  WalkObjects(root, [&](const Object& object) {
    if (!object.is_dataset()) return true;
    std::vector<std::string>& list = object.Shape().size() >= 2 ? wide : others;
    if (list.size() <= kMaxListed) list.push_back(Describe(object));
    return true;
  });
  const std::vector<std::string>& seen = wide.empty() ? others : wide;
  std::string list;
  for (size_t i = 0; i < seen.size() && i < kMaxListed; ++i) list += (i == 0 ? "" : "; ") + seen[i];
  if (seen.size() > kMaxListed) list += "; and more";
  return Error::Unsupported("the file holds no frames that are recognised")
      .In(root.container()->path().string())
      .Expected(expected)
      .Found(list.empty() ? "no dataset" : list)
      .Advice("if one of them is meant, name it with --dataset-path");
}

VendorHeader DumpMetadata(const Object& root, const std::string& name) {
  const Hdf5Session session;
  Dumper dumper;
  const Json json = dumper.Dump(root, kMaxDepth);
  std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace);
  if (dumper.Full()) text += "\n(cut short at 1 MiB)";
  return {name + (root.path() == "/" ? "" : " " + root.path()), std::move(text)};
}

Result<Selection> SelectPlain(const Object& root, const std::string& dataset_path) {
  const Hdf5Session session;
  Selection selection;
  const std::string name = root.container()->name();
  if (!dataset_path.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(Object chosen, root.Get("/" + dataset_path));
    if (!chosen.is_dataset()) {
      return Error::InvalidArgument("--dataset-path names a group, not a dataset")
          .In(root.container()->path().string())
          .At(chosen.path());
    }
    const size_t rank = chosen.Shape().size();
    if (rank < 2) {
      return Error::Unsupported("the dataset holds no frames")
          .In(root.container()->path().string())
          .At(chosen.path())
          .Expected("at least two axes")
          .Found(Describe(chosen));
    }
    selection.axes = ImageAxes(rank);
    selection.parts.push_back(std::move(chosen));
    selection.vendor_headers.push_back(DumpMetadata(root, name));
    return selection;
  }
  std::vector<Object> stacks;
  std::vector<Object> images;
  WalkObjects(root, [&](const Object& object) {
    if (object.is_dataset() && object.IsNumeric()) {
      const std::vector<uint64_t> shape = object.Shape();
      const bool wide = shape.size() >= 2 && shape.back() > 1 && shape[shape.size() - 2] > 1;
      if (wide && (shape.size() > 2 ? stacks : images).size() < 1000) {
        if (auto again = root.Find(object.path())) {
          (shape.size() > 2 ? stacks : images).push_back(std::move(*again));
        }
      }
    }
    return true;
  });
  std::vector<Object>& candidates = stacks.empty() ? images : stacks;
  if (candidates.empty()) return NoCandidate(root, "a dataset of numbers with at least two axes");
  if (candidates.size() > 1) return SeveralCandidates(*root.container(), candidates);
  selection.axes = ImageAxes(candidates.front().Shape().size());
  selection.parts.push_back(std::move(candidates.front()));
  selection.vendor_headers.push_back(DumpMetadata(root, name));
  return selection;
}

}  // namespace penstock::ingest::hdf5
