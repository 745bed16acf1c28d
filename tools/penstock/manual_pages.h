// The manual pages, made from what the commands themselves say about their arguments.

#ifndef PENSTOCK_TOOLS_MANUAL_PAGES_H_
#define PENSTOCK_TOOLS_MANUAL_PAGES_H_

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace penstock::tools {

// By file name: "penstock.1", "penstock-COMMAND.1", "mount.penstock.8", "penstock.conf.5". `app`
// has all its commands.
std::map<std::string, std::string> ManualPages(const CLI::App& app);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_MANUAL_PAGES_H_
