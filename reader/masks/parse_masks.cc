#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "penstock/reader/mask.h"
#include "penstock/reader/sparse_mask.h"

namespace penstock {

namespace {

constexpr char kForms[] =
    "masks are disk:ROW,COLUMN,RADIUS, annulus:ROW,COLUMN,INNER,OUTER, "
    "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1, sectors:ROW,COLUMN,INNER,OUTER,COUNT[,ANGLE0], "
    "gradient:ROW,COLUMN[,RADIUS], harmonic:ROW,COLUMN,INNER,OUTER,ORDER, "
    "rectangle:ROW0,COLUMN0,ROW1,COLUMN1, "
    "lattice:ROW,COLUMN,A_ROW,A_COLUMN,B_ROW,B_COLUMN,FIRST,LAST,RADIUS, lattice-union:..., full, "
    "an .npy file or an .npz file of scipy.sparse; lengths in pixels, angles in degrees";

Error Misspelt(std::string_view text, std::string what) {
  return Error::InvalidArgument(fmt::format("mask '{}': {}", text, what)).Advice(kForms);
}

// Finite numbers separated by commas, at least `least` and at most `most` of them.
Result<std::vector<double>> ParseNumbers(std::string_view text, std::string_view numbers,
                                         size_t least, size_t most) {
  std::vector<double> values;
  while (true) {
    const size_t comma = numbers.find(',');
    const std::string_view word = numbers.substr(0, comma);
    double value = 0;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size() || !std::isfinite(value)) {
      return Misspelt(text, fmt::format("'{}' is not a number", word));
    }
    values.push_back(value);
    if (comma == std::string_view::npos) break;
    numbers.remove_prefix(comma + 1);
  }
  if (values.size() < least || values.size() > most) {
    return Misspelt(
        text, least == most
                  ? fmt::format("expected {} numbers, found {}", least, values.size())
                  : fmt::format("expected {} to {} numbers, found {}", least, most, values.size()));
  }
  return values;
}

Result<int64_t> WholeNumber(std::string_view text, double value, std::string_view what,
                            int64_t least, int64_t most) {
  if (value != std::floor(value) || value < static_cast<double>(least) ||
      value > static_cast<double>(most)) {
    return Misspelt(text,
                    fmt::format("{} must be a whole number from {} to {}", what, least, most));
  }
  return static_cast<int64_t>(value);
}

template <typename AMask>
std::vector<AnyMask> AnyOf(std::vector<AMask> masks) {
  return {std::make_move_iterator(masks.begin()), std::make_move_iterator(masks.end())};
}

using Numbers = std::vector<double>;

Status CheckRadii(std::string_view text, double inner, double outer) {
  if (inner >= 0 && outer > inner) return Status::Ok();
  return Misspelt(text, "the outer radius must be above the inner one, and that not negative");
}

Result<std::vector<AnyMask>> ParseSegment(std::string_view text, const Numbers& v,
                                          SignalShape shape) {
  PENSTOCK_RETURN_IF_ERROR(CheckRadii(text, v[2], v[3]));
  if (v[5] <= v[4]) return Misspelt(text, "the second angle must be above the first");
  return AnyOf(std::vector{SegmentMask(shape, v[0], v[1], v[2], v[3], v[4], v[5])});
}

Result<std::vector<AnyMask>> ParseSectors(std::string_view text, const Numbers& v,
                                          SignalShape shape) {
  PENSTOCK_RETURN_IF_ERROR(CheckRadii(text, v[2], v[3]));
  PENSTOCK_ASSIGN_OR_RETURN(const int64_t count, WholeNumber(text, v[4], "COUNT", 1, 4096));
  return AnyOf(SectorMasks(shape, v[0], v[1], v[2], v[3], count, v.size() > 5 ? v[5] : 0));
}

Result<std::vector<AnyMask>> ParseLattice(std::string_view text, const Numbers& v,
                                          SignalShape shape) {
  constexpr int64_t kFar = 1 << 20;
  LatticeDisks lattice{v[0], v[1], v[2], v[3], v[4], v[5], 0, 0, v[8]};
  PENSTOCK_ASSIGN_OR_RETURN(lattice.first, WholeNumber(text, v[6], "FIRST", -kFar, kFar));
  PENSTOCK_ASSIGN_OR_RETURN(lattice.last, WholeNumber(text, v[7], "LAST", -kFar, kFar));
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<SparseMask> disks, LatticeMasks(shape, lattice));
  if (!text.starts_with("lattice-union:")) return AnyOf(std::move(disks));
  SparseMask all{std::string(text), shape, {}, {}};
  for (const SparseMask& disk : disks) {
    all.pixels.insert(all.pixels.end(), disk.pixels.begin(), disk.pixels.end());
  }
  // Where disks overlap the pixel counts once.
  std::ranges::sort(all.pixels);
  all.pixels.erase(std::unique(all.pixels.begin(), all.pixels.end()), all.pixels.end());
  all.weights.assign(all.pixels.size(), 1);
  return std::vector<AnyMask>{std::move(all)};
}

struct Form {
  size_t least;  // numbers
  size_t most;
  Result<std::vector<AnyMask>> (*make)(std::string_view text, const Numbers& v, SignalShape shape);
};

const std::map<std::string_view, Form>& Forms() {
  using Made = Result<std::vector<AnyMask>>;
  using Text = std::string_view;
  static const std::map<std::string_view, Form> forms = {
      {"disk",
       {3, 3,
        [](Text, const Numbers& v, SignalShape shape) -> Made {
          return AnyOf(std::vector{DiskMask(shape, v[0], v[1], v[2])});
        }}},
      {"annulus",
       {4, 4,
        [](Text text, const Numbers& v, SignalShape shape) -> Made {
          PENSTOCK_RETURN_IF_ERROR(CheckRadii(text, v[2], v[3]));
          return AnyOf(std::vector{AnnulusMask(shape, v[0], v[1], v[2], v[3])});
        }}},
      {"segment", {6, 6, &ParseSegment}},
      {"sectors", {5, 6, &ParseSectors}},
      {"gradient",
       {2, 3,
        [](Text, const Numbers& v, SignalShape shape) -> Made {
          const double radius = v.size() > 2 ? v[2] : std::numeric_limits<double>::infinity();
          return AnyOf(GradientMasks(shape, v[0], v[1], radius));
        }}},
      {"harmonic",
       {5, 5,
        [](Text text, const Numbers& v, SignalShape shape) -> Made {
          PENSTOCK_RETURN_IF_ERROR(CheckRadii(text, v[2], v[3]));
          PENSTOCK_ASSIGN_OR_RETURN(const int64_t order,
                                    WholeNumber(text, v[4], "ORDER", -100000, 100000));
          return AnyOf(std::vector{HarmonicMask(shape, v[0], v[1], v[2], v[3], order)});
        }}},
      {"rectangle",
       {4, 4,
        [](Text, const Numbers& v, SignalShape shape) -> Made {
          return AnyOf(std::vector{RectangleMask(shape, v[0], v[1], v[2], v[3])});
        }}},
      {"lattice", {9, 9, &ParseLattice}},
      {"lattice-union", {9, 9, &ParseLattice}},
  };
  return forms;
}

bool SelectsNothing(const AnyMask& mask) {
  const auto is_zero = [](double weight) { return weight == 0; };
  return std::visit(
      [&](const auto& one) {
        return std::ranges::all_of(one.weights, is_zero) &&
               std::ranges::all_of(one.imaginary, is_zero);
      },
      mask);
}

Result<std::vector<AnyMask>> ParseShape(std::string_view text, SignalShape shape) {
  if (text == "full") return AnyOf(std::vector{FullMask(shape)});
  const size_t colon = text.find(':');
  const auto form = Forms().find(text.substr(0, colon));
  if (form == Forms().end() || colon == std::string_view::npos) {
    return Misspelt(text, "is neither a known shape nor the name of an .npy or .npz file");
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      const Numbers numbers,
      ParseNumbers(text, text.substr(colon + 1), form->second.least, form->second.most));
  return form->second.make(text, numbers, shape);
}

// "sectors:...[2]", "gradient:...[rows]": the text, and what tells the masks of one text apart.
std::string NameFor(std::string_view text, const std::string& name, bool single) {
  if (single) return std::string(text);
  const size_t bracket = name.find('[');
  return std::string(text) + (bracket == std::string::npos ? "" : name.substr(bracket));
}

}  // namespace

Result<std::vector<AnyMask>> ParseAnyMasks(std::string_view text, SignalShape shape) {
  if (text.ends_with(".npy")) {
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<Mask> masks, LoadMasks(text, shape));
    return AnyOf(std::move(masks));
  }
  if (text.ends_with(".npz")) {
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<SparseMask> masks, LoadSparseMasks(text, shape));
    return AnyOf(std::move(masks));
  }
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<AnyMask> masks, ParseShape(text, shape));
  const bool single = masks.size() == 1;
  for (AnyMask& mask : masks) {
    std::visit([&](auto& one) { one.name = NameFor(text, one.name, single); }, mask);
  }
  if (std::ranges::all_of(masks, &SelectsNothing)) {
    return Error::InvalidArgument(fmt::format("mask '{}' selects no pixel", text))
        .Expected(
            fmt::format("a shape within the frame of {} x {} pixels", shape.rows, shape.columns))
        .Advice("positions are (row, column) in pixels, counted from 0");
  }
  return masks;
}

Result<std::vector<Mask>> ParseMasks(std::string_view text, SignalShape shape) {
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<AnyMask> any, ParseAnyMasks(text, shape));
  std::vector<Mask> masks;
  for (AnyMask& mask : any) {
    if (const auto* sparse = std::get_if<SparseMask>(&mask)) {
      masks.push_back(Dense(*sparse));
    } else {
      masks.push_back(std::get<Mask>(std::move(mask)));
    }
  }
  return masks;
}

}  // namespace penstock
