// What somebody who looks into a fault of a mount needs, gathered without trusting that anything
// answers: every part has a few seconds, and one that hangs is named instead of waited for.

#ifndef PENSTOCK_TOOLS_BUG_REPORT_H_
#define PENSTOCK_TOOLS_BUG_REPORT_H_

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock::tools {

// By file name. `path`: a path on a mount, also one whose daemon is dead or hangs, or a cache
// directory. kNotFound where it is neither. Holds no data of any dataset; their names it does hold.
Result<std::map<std::string, std::string>> GatherBugReport(const std::filesystem::path& path);

// Passwords, keys and tokens, by the names that they are given, and the user in an address are
// replaced by "REDACTED".
std::string Redact(std::string_view text);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_BUG_REPORT_H_
