#include "reader/device/device.h"

namespace penstock {

std::string NameOf(const Device& device) { return device.Name(); }

}  // namespace penstock
