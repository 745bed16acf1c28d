// The text of a nexus.json: checked as a whole when it is opened, but made into a tree only where
// it is asked for.
//
// The sidecar of a dataset with a thousand blocks has 200 KB, most of them the virtual dataset's
// list of sources. Making all of it takes 10 ms, and who processes frames has no use for it.

#ifndef PENSTOCK_DATASET_SIDECAR_TEXT_H_
#define PENSTOCK_DATASET_SIDECAR_TEXT_H_

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock {

// Movable; const members may be used from several threads.
class SidecarText {
 public:
  // Errors of ParseJson, of which the whole text is made.
  static Result<SidecarText> Parse(std::string_view text, const std::filesystem::path& file);

  // The collection entry1/penstock; nothing where there is none.
  const std::optional<Json>& penstock() const;
  // All of it. Made by the first call.
  const Json& tree() const;

 private:
  struct State;
  explicit SidecarText(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_SIDECAR_TEXT_H_
