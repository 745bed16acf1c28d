// ExtentMap: which extents of a replica are there. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_EXTENT_MAP_H_
#define PENSTOCK_CACHEFS_CACHE_EXTENT_MAP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cachefs {

enum class ExtentState : uint8_t {
  kAbsent,
  kUnverified,  // the file holds bytes there that nobody has proved yet
  kFetching,    // somebody proves or fetches it; others wait for that
  kPresent,     // proved; may be read
};

class ExtentMap {
 public:
  explicit ExtentMap(int64_t extents)
      : states_(static_cast<size_t>(extents), ExtentState::kAbsent) {}

  int64_t size() const { return static_cast<int64_t>(states_.size()); }
  int64_t present() const { return present_; }
  int64_t fetching() const { return fetching_; }
  bool all_present() const { return present_ == size(); }
  ExtentState Get(int64_t extent) const { return states_[static_cast<size_t>(extent)]; }
  void Set(int64_t extent, ExtentState state);

  // The first extent at or after `from` that is absent or unverified.
  std::optional<int64_t> NextMissing(int64_t from) const;

  // Present extents as hexadecimal digits, lowest bit first: extent e is bit e % 4 of digit e / 4.
  std::string ToHex() const;
  // False, and no change, where the text does not fit this map.
  bool FromHex(std::string_view digits);
  // How many extents such digits say are present.
  static int64_t CountPresent(std::string_view digits);

 private:
  std::vector<ExtentState> states_;
  int64_t present_ = 0;
  int64_t fetching_ = 0;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_EXTENT_MAP_H_
