// The choice of instruction set for tests and benchmarks.

#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/vnni.h"

namespace penstock::kernels {

namespace {
// Highway does not tell it from the target without.
constexpr const char* kVnniTarget = "AVX3_VNNI";
}  // namespace

std::vector<std::string> AvailableTargets() {
  std::vector<std::string> names;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (target == HWY_AVX3 && HasVnni()) names.emplace_back(kVnniTarget);
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

void UseTarget(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  AllowVnni(name.empty() || name == kVnniTarget);
  if (!name.empty()) {
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      if (name == hwy::TargetName(target) || (name == kVnniTarget && target == HWY_AVX3)) {
        hwy::SetSupportedTargetsForTest(target);
        break;
      }
    }
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace penstock::kernels
